// client-node's KubeConfig without the clients and models of every API of Kubernetes, which it imports and we never call:
// they are half of the memory of an idle process, and a third of its start.
import { registerHooks } from 'node:module';

/** Beside this file, in TypeScript or in JavaScript. */
const PARTS = import.meta.url.replace(/client-node(?=\.\w+$)/, 'client-node-parts');

const hooks = registerHooks({
  resolve(specifier, context, next) {
    const isBarrel =
      specifier === './gen/index.js' && context.parentURL?.endsWith('/client-node/dist/config.js');
    return next(isBarrel ? PARTS : specifier, context);
  },
});

/** Loads it once for the process, whoever asks first. */
export const { KubeConfig } = await import('@kubernetes/client-node/dist/config.js');
export type KubeConfig = InstanceType<typeof KubeConfig>;
hooks.deregister();
