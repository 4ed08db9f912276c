// Measures a model inside an Android app, as the app runs it, and writes what `nagsdk verify DIR --probe FILE` reads.
//
// Call it once, not on the main thread, where the app would run the model:
//
//     val probe = NagsdkProbe(context, "ml/classifier/model.tflite", threads = 1, accelerator = "CPU", runtime = "litert 2.2.0")
//     probe.measure({ NagsdkModel(context.assets, "ml/classifier") }) { model -> model.infer() }
//
// then, on the computer: adb pull /sdcard/Android/data/<package of the app>/files/nagsdk-probe.json

import android.content.Context
import android.content.pm.ApplicationInfo
import android.os.Build
import android.os.PowerManager
import java.io.File
import java.security.MessageDigest
import org.json.JSONArray
import org.json.JSONObject

/** `asset` is the model's file in the assets; the other facts are recorded as they are, since they explain differences. */
class NagsdkProbe(
    private val context: Context,
    private val asset: String,
    private val threads: Int,
    private val accelerator: String,
    private val runtime: String,
) {
    /** Loads the model with `load`, runs it with `run`, closes it if it can be closed, and returns the file it wrote. */
    fun <M> measure(load: () -> M, runs: Int = 200, run: (M) -> Unit): File {
        val heat = thermalStatus()
        val before = residentBytes()
        val start = System.nanoTime()
        val model = load()
        val init = since(start)
        val times = DoubleArray(runs + 1) {
            val began = System.nanoTime()
            run(model)
            since(began)
        }
        val memory = (residentBytes() - before) / 1e6
        if (model is AutoCloseable) model.close()
        val latencies = JSONArray()
        times.drop(1).forEach { latencies.put(it) }
        val found = JSONObject()
            .put("format", 1)
            .put("model_sha256", hash())
            .put("latencies_ms", latencies)
            .put("init_ms", init)
            .put("first_inference_ms", times[0])
            .put("threads", threads)
            .put("accelerator", accelerator)
            .put("runtime", runtime)
            .put("debuggable", context.applicationInfo.flags and ApplicationInfo.FLAG_DEBUGGABLE != 0)
            .put("device", Build.MODEL)
            .put("system", "Android ${Build.VERSION.RELEASE}")
        if (before > 0 && memory > 0) found.put("memory_mb", memory)
        read("/proc/self/cpuset")?.let { found.put("cpuset", it.trim().take(200)) }
        heat?.let { found.put("thermal_before", it) }
        thermalStatus()?.let { found.put("thermal_after", it) }
        return File(context.getExternalFilesDir(null), "nagsdk-probe.json").apply { writeText(found.toString()) }
    }

    private fun since(start: Long) = (System.nanoTime() - start) / 1e6

    private fun hash(): String {
        val digest = MessageDigest.getInstance("SHA-256").digest(context.assets.open(asset).use { it.readBytes() })
        return digest.joinToString("") { "%02x".format(it) }
    }

    /** Android's thermal status, which phones before Android 10 do not tell. */
    private fun thermalStatus(): Int? {
        if (Build.VERSION.SDK_INT < 29) return null
        return (context.getSystemService(Context.POWER_SERVICE) as PowerManager).currentThermalStatus
    }

    private fun residentBytes(): Long {
        val line = read("/proc/self/status")?.lines()?.firstOrNull { it.startsWith("VmRSS:") } ?: return 0
        return line.filter { it.isDigit() }.toLong() * 1024
    }

    private fun read(path: String): String? = runCatching { File(path).readText() }.getOrNull()
}
