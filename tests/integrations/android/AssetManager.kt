// The part of Android's API that the Kotlin snippets use, so that they can be compiled without Android's SDK.
package android.content.res

import java.io.FileDescriptor
import java.io.InputStream

abstract class AssetFileDescriptor {
    abstract val fileDescriptor: FileDescriptor
    abstract val startOffset: Long
    abstract val declaredLength: Long
}

abstract class AssetManager {
    abstract fun open(name: String): InputStream
    abstract fun openFd(name: String): AssetFileDescriptor
}
