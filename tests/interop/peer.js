// A program in another language: publications as Node's zeromq (6) has them, in frames of base64.
//
//     node peer.js pub|sub|xpub ADDRESS PREFIX
//
// "sub" prints what it hears, one line of JSON for each. "pub" publishes what it reads in such
// lines; "xpub" does so too, and prints what its subscribers say. All end with standard input.

const readline = require("readline")
const zmq = require("zeromq")

const [kind, address, prefix] = process.argv.slice(2)
const shown = parts => console.log(JSON.stringify(parts.map(part => part.toString("base64"))))

async function hear(socket) {
  for await (const parts of socket) shown(parts)
}

async function main() {
  const kinds = { sub: zmq.Subscriber, pub: zmq.Publisher, xpub: zmq.XPublisher }
  const socket = new kinds[kind]({ linger: 0 })
  if (kind === "sub") socket.subscribe(Buffer.from(prefix, "base64"))
  if (kind !== "pub") hear(socket)
  await socket.bind(address)
  console.log(JSON.stringify(socket.lastEndpoint))
  for await (const line of readline.createInterface({ input: process.stdin })) {
    await socket.send(JSON.parse(line).map(part => Buffer.from(part, "base64")))
  }
  process.exit(0)
}

main()
