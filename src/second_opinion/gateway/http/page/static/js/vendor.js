// Made by vendor/build.mjs: the one place that knows the name of the bundle.
export * from "../vendor/preact.8d1051bc949c.js";
