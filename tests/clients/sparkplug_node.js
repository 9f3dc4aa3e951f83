// An edge node with one device, by the sparkplug-client of Eclipse Tahu. Lines on stdin tell it what to do; what it was asked
// to do by a host it prints. Arguments: broker's port.
const sparkplug = require("sparkplug-client");
const { createInterface } = require("readline");

const node = sparkplug.newClient({
  serverUrl: `mqtt://127.0.0.1:${process.argv[2]}`,
  username: "",
  password: "",
  groupId: "plant",
  edgeNode: "edge1",
  clientId: "edge1",
  version: "spBv1.0",
  publishDeath: true,
});
const measured = (name, alias, type, value) => ({ name, alias, type, value, timestamp: Date.now() });

function births() {
  node.publishNodeBirth({
    timestamp: Date.now(),
    metrics: [{ name: "Node Control/Rebirth", type: "Boolean", value: false, timestamp: Date.now() }],
  });
  node.publishDeviceBirth("f1", {
    timestamp: Date.now(),
    metrics: [
      measured("cabinet_temp", 10, "Float", 4.5),
      measured("freezer_temp", 11, "Int16", -18),
      { name: "Properties/Firmware", type: "String", value: "2.1.0", timestamp: Date.now() },
    ],
  });
}

node.on("birth", () => {
  births();
  console.log("born");
});
node.on("ncmd", (payload) => {
  if (!payload.metrics.some((metric) => metric.name === "Node Control/Rebirth" && metric.value === true)) return;
  births();
  console.log("reborn");
});
createInterface({ input: process.stdin }).on("line", (line) => {
  const [what, ...rest] = line.split(" ");
  if (what === "data") {
    // By alias alone, as the specification allows after a birth.
    const [alias, type, value, ago, packed] = rest;
    const timestamp = Date.now() - Number(ago);
    const metrics = [{ alias: Number(alias), type, value: Number(value), timestamp }];
    node.publishDeviceData("f1", { timestamp, metrics }, packed ? { compress: true, algorithm: packed } : undefined);
  } else if (what === "lose") {
    node.incrementSeqNum(); // As if a message had been published and lost.
  } else if (what === "death") {
    node.publishDeviceDeath("f1", { timestamp: Date.now() });
  } else if (what === "stop") {
    node.stop();
    process.stdin.destroy();
  }
});
