package org.tensorflow.lite

import java.nio.ByteBuffer

class Interpreter(model: ByteBuffer, options: Options) : AutoCloseable {
    class Options { fun setNumThreads(count: Int): Options = TODO() }

    fun run(input: Any, output: Any): Unit = TODO()
    override fun close(): Unit = TODO()
}
