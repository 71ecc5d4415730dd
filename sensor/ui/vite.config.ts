import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

// `npm run dev` serves the app with the API of a falconet that runs on this machine.
const api = process.env.FALCONET_API ?? "http://127.0.0.1:2802";

export default defineConfig({
  // virtua ships runes too, but not all libraries do: the option of svelte.config.js is for our files.
  plugins: [svelte({ compilerOptions: {}, configFile: "svelte.config.js" })],
  build: {
    target: "es2022",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    reportCompressedSize: false,
  },
  server: { proxy: { "/api": { target: api, changeOrigin: true } } },
});
