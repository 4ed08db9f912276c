// Loads a deployment from an Android app's assets and runs it with LiteRT, with the preprocessing in its manifest.
//
//     implementation("com.google.ai.edge.litert:litert:2.2.0")        // or newer; LiteRT 1 has no CompiledModel
//
//     NagsdkModel(context.assets, "ml/classifier").use { model ->
//         check(model.selfTest() < 1e-3)          // outputs are those of torch except for rounding (fp16, int8: more)
//         val label = model.classify(bitmap).first().label
//     }

import android.content.res.AssetManager
import android.graphics.Bitmap
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel
import kotlin.math.abs
import kotlin.math.max
import kotlin.math.min
import kotlin.math.round
import kotlin.math.sqrt
import org.json.JSONArray
import org.json.JSONObject

class NagsdkModel(assets: AssetManager, folder: String) : AutoCloseable {
    data class Answer(val label: String, val logit: Float)

    private val manifest = JSONObject(assets.open("$folder/manifest.json").bufferedReader().readText())
    private val steps = manifest.getJSONObject("preprocessing")
    private val mean = steps.getJSONArray("mean").floats()
    private val std = steps.getJSONArray("std").floats()
    private val scale = steps.getDouble("scale").toFloat()
    private val cropFraction = steps.getDouble("crop_fraction")
    private val resolution = manifest.getInt("resolution")
    private val batch = manifest.getInt("batch")
    private val labels = runCatching { assets.open("$folder/labels.txt").bufferedReader().readLines() }.getOrDefault(emptyList())
    private val integers = manifest.optJSONObject("integers")
    private val inputNumbers = IntegerNumbers.of(integers?.optJSONObject("input"))
    private val outputNumbers = IntegerNumbers.of(integers?.optJSONObject("output"))
    private val probe = manifest.getJSONObject("probe").getJSONArray("logits").floats()
    private val options = CompiledModel.Options(Accelerator.CPU).apply {
        // The latency in the manifest was measured with this number of threads.
        cpuOptions = CompiledModel.CpuOptions(numThreads = manifest.getInt("threads"))
    }
    private val model = CompiledModel.create(assets, "$folder/${manifest.getJSONObject("artifact").getString("path")}", options)
    private val inputs = model.createInputBuffers()
    private val outputs = model.createOutputBuffers()

    /** All classes with their logits, the best one first. */
    fun classify(image: Bitmap): List<Answer> {
        val pixels = IntArray(image.width * image.height)
        image.getPixels(pixels, 0, image.width, 0, 0, image.width, image.height)
        val logits = run(input(pixels, image.width, image.height))
        return logits.withIndex().sortedByDescending { it.value }.map { Answer(labels.getOrElse(it.index) { i -> "$i" }, it.value) }
    }

    /** Difference of the outputs from those of torch on the manifest's probe, as a share of their norm. */
    fun selfTest(): Double {
        val pixels = IntArray(resolution * resolution) { place ->
            val x = place % resolution
            val y = place / resolution
            ((8 * x + 3 * y and 255) shl 16) or ((x * y and 255) shl 8) or (255 - 5 * x + 2 * y and 255)
        }
        val logits = run(input(pixels, resolution, resolution))
        val difference = logits.indices.sumOf { val d = (logits[it] - probe[it]).toDouble(); d * d }
        return sqrt(difference / probe.sumOf { (it * it).toDouble() })
    }

    /** One inference on what the input holds, without preprocessing: what budgets on the latency are about. */
    fun infer() = model.run(inputs, outputs)

    override fun close() {
        (inputs + outputs).forEach { it.close() }
        model.close()
    }

    private fun run(input: FloatArray): FloatArray {
        val images = FloatArray(batch * input.size) { input[it % input.size] }
        if (inputNumbers == null) inputs[0].writeFloat(images) else inputs[0].writeInt8(inputNumbers.integers(images))
        infer()
        val logits = if (outputNumbers == null) outputs[0].readFloat() else outputNumbers.real(outputs[0].readInt8())
        return logits.copyOf(probe.size)
    }

    /** Turns pixels 0xRRGGBB into floats in the order of .tflite files: rows, columns, channels. */
    private fun input(pixels: IntArray, width: Int, height: Int): FloatArray {
        val side = round(resolution / cropFraction).toInt()
        val factor = side.toDouble() / min(width, height)
        val wide = max(side, round(width * factor).toInt())
        val high = max(side, round(height * factor).toInt())
        val left = (wide - resolution) / 2
        val top = (high - resolution) / 2
        val result = FloatArray(3 * resolution * resolution)
        for (channel in 0 until 3) {
            val plane = IntArray(pixels.size) { pixels[it] shr (16 - 8 * channel) and 255 }
            val rows = resized(plane, width, height, wide, horizontal = true)
            val image = resized(rows, wide, height, high, horizontal = false)
            for (y in 0 until resolution) for (x in 0 until resolution) {
                val value = scale * image[(top + y) * wide + left + x]
                result[(y * resolution + x) * 3 + channel] = (value - mean[channel]) / std[channel]
            }
        }
        return result
    }

    /** Resizes in one direction, bilinearly with antialiasing, which Bitmap.createScaledBitmap does not have. */
    private fun resized(plane: IntArray, width: Int, height: Int, size: Int, horizontal: Boolean): IntArray {
        val before = if (horizontal) width else height
        val lines = if (horizontal) height else width
        val step = before.toDouble() / size
        val reach = max(step, 1.0)
        val result = IntArray(size * lines)
        for (out in 0 until size) {
            val centre = (out + 0.5) * step
            val first = max(0, (centre - reach + 0.5).toInt())
            val last = min(before, (centre + reach + 0.5).toInt())
            val weights = DoubleArray(last - first) { max(0.0, 1 - abs((first + it - centre + 0.5) / reach)) }
            val total = weights.sum()
            for (line in 0 until lines) {
                var sum = 0.0
                for (at in first until last) sum += weights[at - first] / total * plane[if (horizontal) line * width + at else at * width + line]
                result[if (horizontal) line * size + out else out * lines + line] = (sum + 0.5).toInt().coerceIn(0, 255)
            }
        }
        return result
    }

    private fun JSONArray.floats() = FloatArray(length()) { getDouble(it).toFloat() }
}

/** How the bytes of a file that was made with `--io int8` or `uint8` stand for real numbers: scale * (q - zeroPoint). */
class IntegerNumbers(private val signed: Boolean, private val scale: Float, private val zeroPoint: Int) {
    private val lowest = if (signed) -128 else 0

    fun integers(values: FloatArray) = ByteArray(values.size) {
        (round(values[it] * (1 / scale)) + zeroPoint).toInt().coerceIn(lowest, lowest + 255).toByte()
    }

    fun real(bytes: ByteArray) = FloatArray(bytes.size) {
        val number = if (signed) bytes[it].toInt() else bytes[it].toInt() and 255
        scale * (number - zeroPoint)
    }

    companion object {
        /** The numbers of `integers.input` or `integers.output` of a manifest; null where the file has float32. */
        fun of(numbers: JSONObject?): IntegerNumbers? {
            val type = numbers?.getString("type") ?: return null
            if (type == "float32") return null
            check(type == "int8" || type == "uint8") { "numbers of the type $type are unknown" }
            return IntegerNumbers(type == "int8", numbers.getDouble("scale").toFloat(), numbers.getInt("zero_point"))
        }
    }
}
