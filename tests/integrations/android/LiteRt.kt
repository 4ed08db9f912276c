package com.google.ai.edge.litert

import android.content.res.AssetManager

enum class Accelerator { NONE, CPU, GPU, NPU }

abstract class TensorBuffer : AutoCloseable {
    abstract fun writeFloat(data: FloatArray)
    abstract fun readFloat(): FloatArray
    abstract fun writeInt8(data: ByteArray)
    abstract fun readInt8(): ByteArray
}

abstract class CompiledModel : AutoCloseable {
    data class CpuOptions(val numThreads: Int? = null)

    class Options(vararg accelerators: Accelerator) {
        val asked = accelerators.toSet()
        var cpuOptions: CpuOptions? = null
    }

    abstract fun createInputBuffers(): List<TensorBuffer>
    abstract fun createOutputBuffers(): List<TensorBuffer>
    abstract fun run(inputs: List<TensorBuffer>, outputs: List<TensorBuffer>)

    companion object {
        fun create(assets: AssetManager, name: String, options: Options): CompiledModel = TODO()
    }
}
