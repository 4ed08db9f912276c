package android.content.pm

class ApplicationInfo {
    var flags = 0

    companion object { const val FLAG_DEBUGGABLE = 2 }
}
