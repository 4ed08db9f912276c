package org.json

class JSONArray {
    fun length(): Int = TODO()
    fun getDouble(index: Int): Double = TODO()
    fun put(value: Double): JSONArray = TODO()
}

class JSONObject() {
    constructor(text: String) : this() { TODO(text) }

    fun put(name: String, value: Any): JSONObject = TODO()
    fun getJSONObject(name: String): JSONObject = TODO()
    fun optJSONObject(name: String): JSONObject? = TODO()
    fun getJSONArray(name: String): JSONArray = TODO()
    fun getString(name: String): String = TODO()
    fun getInt(name: String): Int = TODO()
    fun getDouble(name: String): Double = TODO()
}
