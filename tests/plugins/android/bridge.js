// Simulates a phone that asks for keys: adbkit's bridge in front of a phone of an adb server, which asks for no key.
//     node bridge.js ADBKIT_FOLDER SERVER_PORT SERIAL KNOWN_KEYS_FILE
// Prints its port, and the fingerprint of every key that is presented. It accepts the keys whose fingerprints are in
// the file.
const fs = require('fs')
const path = require('path')
const [folder, port, serial, known] = process.argv.slice(2)
const { Adb } = require(path.join(folder, 'node_modules', '@devicefarmer', 'adbkit'))

const auth = async (key) => {
  console.log(`asked ${key.fingerprint}`)
  if (!fs.readFileSync(known, 'utf8').split('\n').includes(key.fingerprint)) throw new Error('not known')
}
const server = Adb.createClient({ host: '127.0.0.1', port: Number(port) }).createTcpUsbBridge(serial, { auth })
server.on('error', () => {})
server.on('listening', () => console.log(`port ${server.server.address().port}`))
server.listen(0, '127.0.0.1')
