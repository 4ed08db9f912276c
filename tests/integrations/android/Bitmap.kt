package android.graphics

abstract class Bitmap {
    abstract val width: Int
    abstract val height: Int
    abstract fun getPixels(pixels: IntArray, offset: Int, stride: Int, x: Int, y: Int, width: Int, height: Int)

    companion object {
        fun createScaledBitmap(source: Bitmap, width: Int, height: Int, filter: Boolean): Bitmap = TODO()
    }
}

object Color {
    fun red(color: Int): Int = TODO()
    fun green(color: Int): Int = TODO()
    fun blue(color: Int): Int = TODO()
}
