// Sees whatever leaves the process: network, disk and children, asynchronous (by the runtime's own resource types) and
// synchronous (by the functions themselves). Writing to stdout and stderr is allowed: the log goes there.
import { createHook } from 'node:async_hooks';
import childProcess from 'node:child_process';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import net from 'node:net';

export interface IoHooks extends Disposable {
  /** What was seen since the last call. */
  seen(): string[];
}

/** https://nodejs.org/api/async_hooks.html#type: those that mean that somebody outside is asked for something. */
const RESOURCES = new Set([
  'FSREQCALLBACK',
  'FSREQPROMISE',
  'FILEHANDLE',
  'FSEVENTWRAP',
  'STATWATCHER',
  'DIRHANDLE',
  'TCPCONNECTWRAP',
  'PIPECONNECTWRAP',
  'UDPSENDWRAP',
  'GETADDRINFOREQWRAP',
  'GETNAMEINFOREQWRAP',
  'QUERYWRAP',
  'PROCESSWRAP',
  'WORKER',
]);

type Functions = Record<string, unknown>;

/** Hooks in until disposed. Functions that were imported by name are hooked too. */
export function createIoHooks(): IoHooks {
  let events: string[] = [];
  const undo: (() => void)[] = [];

  const wrap = (owner: Functions, name: string, label: string) => {
    const original = owner[name];
    if (typeof original !== 'function') return;
    owner[name] = function hooked(this: unknown, ...inputs: unknown[]) {
      const isLog = name === 'writeSync' && (inputs[0] === 1 || inputs[0] === 2);
      if (!isLog) events.push(label);
      return Reflect.apply(original, this, inputs);
    };
    undo.push(() => void (owner[name] = original));
  };

  const files = fs as unknown as Functions;
  for (const name of Object.keys(files)) if (name.endsWith('Sync')) wrap(files, name, `fs.${name}`);
  const children = childProcess as unknown as Functions;
  for (const name of Object.keys(children))
    if (/^(?:spawn|exec|fork)/.test(name)) wrap(children, name, `child_process.${name}`);
  wrap(net.Socket.prototype as unknown as Functions, 'connect', 'net.connect');
  syncBuiltinESMExports();
  const hook = createHook({ init: (_id, type) => void (RESOURCES.has(type) && events.push(type)) }).enable();

  return {
    seen() {
      const found = events;
      events = [];
      return found;
    },
    [Symbol.dispose]() {
      hook.disable();
      for (const restore of undo) restore();
      syncBuiltinESMExports();
    },
  };
}
