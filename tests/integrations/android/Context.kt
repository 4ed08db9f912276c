package android.content

import android.content.pm.ApplicationInfo
import android.content.res.AssetManager
import java.io.File

abstract class Context {
    abstract val assets: AssetManager
    abstract val applicationInfo: ApplicationInfo
    abstract fun getExternalFilesDir(kind: String?): File?
    abstract fun getSystemService(name: String): Any

    companion object { const val POWER_SERVICE = "power" }
}
