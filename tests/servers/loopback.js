// Preloaded with `node -r`: kinesis-local and kinesalite listen on every interface and have no flag
// for it. This sends every listener to loopback.
"use strict";
const net = require("node:net");

const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (...args) {
  const options = typeof args[0] === "object" ? args[0] : { port: args[0] };
  const listening = args.find((arg) => typeof arg === "function");
  return listen.call(this, { ...options, host: "127.0.0.1" }, listening);
};
