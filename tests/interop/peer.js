// A program in another language: messages as Node's zeromq (6) has them, in frames of base64.
//
//     node peer.js pub|sub|xpub|push|pull|req|rep|dealer|router bind|connect ADDRESS PREFIX
//
// What a socket hears is printed, one line of JSON for each message; what is read in such lines is
// sent. "rep" answers each request by itself. All end with standard input.

const readline = require("readline")
const zmq = require("zeromq")

const [kind, method, address, prefix] = process.argv.slice(2)
const shown = parts => console.log(JSON.stringify(parts.map(part => part.toString("base64"))))

async function hear(socket, answers) {
  for await (const parts of socket) {
    shown(parts)
    if (answers) await socket.send(parts)
  }
}

async function main() {
  const kinds = {
    sub: zmq.Subscriber, pub: zmq.Publisher, xpub: zmq.XPublisher,
    push: zmq.Push, pull: zmq.Pull, req: zmq.Request, rep: zmq.Reply,
    dealer: zmq.Dealer, router: zmq.Router,
  }
  const socket = new kinds[kind]({ linger: 0 })
  if (kind === "sub") socket.subscribe(Buffer.from(prefix, "base64"))
  if (kind !== "pub" && kind !== "push" && kind !== "req") hear(socket, kind === "rep")
  await socket[method](address)
  console.log(JSON.stringify(socket.lastEndpoint))
  for await (const line of readline.createInterface({ input: process.stdin })) {
    await socket.send(JSON.parse(line).map(part => Buffer.from(part, "base64")))
    if (kind === "req") shown(await socket.receive())
  }
  process.exit(0)
}

main()
