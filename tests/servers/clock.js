// Preloaded with `node -r`: each SIGUSR2 moves the clock of kinesis-local and kinesalite on by five
// minutes and a second, so that iterators expire without waiting. kinesalite asks `Date`,
// kinesis-local (Scala.js, cats-effect) `performance`.
"use strict";
const STEP_MS = 301_000;
let ahead = 0;

const RealDate = Date;
globalThis.Date = class Date extends RealDate {
  constructor(...args) {
    if (args.length === 0) super(Date.now());
    else super(...args);
  }
  static now() {
    return RealDate.now() + ahead;
  }
};

const origin = performance.timeOrigin;
Object.defineProperty(performance, "timeOrigin", { get: () => origin + ahead });

process.on("SIGUSR2", () => {
  ahead += STEP_MS;
  console.error(`the clock is ${ahead} ms ahead`);
});
