// Whether this process has more to do than it can bear: connections by the descriptors it may have, reviews under way, and memory
// by the limit it lives under. Who is over any of them sends reviews away; another replica, or this one a second later, takes them.
import type { Duplex } from 'node:stream';
import { readText } from '../text-file.ts';
import type { Clock } from '../clock.ts';

export interface Load {
  /** What the listener may keep open at most. */
  readonly mostConnections: number;
  /** Counts a connection until it closes. */
  connected(socket: Duplex): void;
  /** Counts a request; returns what ends it. */
  begin(): () => void;
  /** Why reviews are sent away now; undefined while there is room. */
  isOver(): string | undefined;
}

export interface LoadLimits {
  readonly descriptors: number;
  /** Bytes; Infinity where nobody limits them. */
  readonly memory: number;
  memoryInUse(): number;
}

/** An API server keeps 25 connections and opens more under load; some hundred for each of five are far from this. */
const MOST_CONNECTIONS = 2048;
/** For files, the metrics port, and the connections to the API server. */
const OWN_DESCRIPTORS = 64;
/** Above it a connection is closed with its next answer, a 503: shut out at the door it would see no answer at all. */
const FULL = 0.75;
/** Two API servers with all that they may work at together at once. */
const MOST_REVIEWS = 1_024;
/** What is left is for the answers under way and the garbage between two collections. */
const MEMORY_FULL = 0.92;
/** Taken all the same: a process that lives near its limit for good must not refuse for good. */
const FEW_REVIEWS = 8;
const LOOK_AT_MEMORY_MS = 50;

export function createLoad(clock: Pick<Clock, 'monotonic'>, limits: LoadLimits = ownLimits()): Load {
  const mostConnections = Math.max(16, Math.min(MOST_CONNECTIONS, limits.descriptors - OWN_DESCRIPTORS));
  let connections = 0;
  let requests = 0;
  let lookedAt = -Infinity;
  let isMemoryFull = false;

  function lookAtMemory(): void {
    const now = clock.monotonic();
    if (limits.memory === Infinity || now - lookedAt < LOOK_AT_MEMORY_MS) return;
    lookedAt = now;
    isMemoryFull = limits.memoryInUse() > limits.memory * MEMORY_FULL;
  }

  return {
    mostConnections,
    connected(socket) {
      connections++;
      socket.once('close', () => connections--);
    },
    begin() {
      requests++;
      return () => requests--;
    },
    isOver() {
      if (connections > mostConnections * FULL) return 'this replica has too many connections';
      if (requests > MOST_REVIEWS) return 'this replica has too many reviews at once';
      lookAtMemory();
      return isMemoryFull && requests > FEW_REVIEWS ? 'this replica is short of memory' : undefined;
    },
  };
}

function ownLimits(): LoadLimits {
  const memory = process.constrainedMemory();
  return {
    descriptors: descriptorLimit(),
    // Without a limit it answers 0, or more than any machine has.
    memory: memory > 0 && memory < 2 ** 46 ? memory : Infinity,
    memoryInUse: () => process.memoryUsage.rss(),
  };
}

/** Node raises its own to the hard one at the start. */
function descriptorLimit(): number {
  try {
    return Number(/^Max open files +\d+ +(\d+)/m.exec(readText('/proc/self/limits'))?.[1] ?? Infinity);
  } catch {
    return Infinity;
  }
}
