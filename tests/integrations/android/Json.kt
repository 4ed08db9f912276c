package org.json

class JSONArray {
    fun length(): Int = TODO()
    fun getDouble(index: Int): Double = TODO()
}

class JSONObject(text: String) {
    fun getJSONObject(name: String): JSONObject = TODO()
    fun getJSONArray(name: String): JSONArray = TODO()
    fun getString(name: String): String = TODO()
    fun getInt(name: String): Int = TODO()
    fun getDouble(name: String): Double = TODO()
}
