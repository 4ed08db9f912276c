package android.os

object Build {
    const val MODEL = "Stand-in"
    const val HARDWARE = "stand-in"
    const val SOC_MODEL = "Stand-in 1"

    object VERSION {
        const val RELEASE = "14"
        val SDK_INT = 34
    }
}

abstract class PowerManager { abstract val currentThermalStatus: Int }
