// Our own watch reader: lists, follows, resumes, relists, and never goes quiet. (client-node's dies after 30 idle
// seconds and swallows the callback's errors.)
import { Problem, isProblem } from '../problem.ts';
import { fieldsOf, textOf } from '../core/fields.ts';
import { toVersion, versionOf } from './resource-version.ts';
import { createWatchdog } from './watchdog.ts';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { KubeConnection } from './kube-connection.ts';

export interface WatchedResource<T> {
  /** For logs and readiness. */
  readonly name: string;
  readonly path: string;
  /** labelSelector, fieldSelector. */
  readonly selector?: Readonly<Record<string, string>>;
  /** Strips the object to what is kept; the raw one is dropped at once. */
  view(raw: unknown): T;
  keyOf(object: T): string;
}

export interface Watch<T> {
  get(key: string): T | undefined;
  values(): Iterable<T>;
  isSynced(): boolean;
  /** Since the API server was last heard: below about 60,000 while bookmarks come. */
  silentMs(): number;
  /** Our own write's answer, so that we need not wait to see it come back; an older event never undoes it. */
  put(object: T, resourceVersion: string): void;
  /** Runs until the signal aborts. Never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

export interface WatchTools<T> {
  readonly connection: KubeConnection;
  readonly clock: Clock;
  readonly log: Log;
  onChange(object: T, gone: boolean): void;
  onRestart(name: string): void;
}

const PAGE = '500';
/** A watch is replaced by a fresh one after 5 to 10 minutes, spread so that replicas do not come back together. */
const SHORTEST_WATCH_SECONDS = 300;
/** Bookmarks come once a minute: 90 s without a line is a connection that is half open. */
const IDLE_MS = 90_000;
const LONGEST_BACKOFF_MS = 2_000;
/** So many failures in a row are worth a line in the log, and so is their end. */
const LOUD_AFTER = 5;

export function createWatch<T>(resource: WatchedResource<T>, tools: WatchTools<T>): Watch<T> {
  const { connection, clock, log } = tools;
  const objects = new Map<string, { object: T; version: bigint }>();
  let synced = false;
  let resumeAt = '';
  let heardAt = clock.monotonic();
  let failures = 0;

  function set(object: T, version: bigint): void {
    const key = resource.keyOf(object);
    const known = objects.get(key);
    if (known && known.version > version) return;
    objects.set(key, { object, version });
    if (known?.version !== version || version === 0n) tools.onChange(object, false);
  }

  /** @param version of the deletion, or of the list that lacks the object: a later life of the name stays. */
  function drop(key: string, version: bigint): void {
    const known = objects.get(key);
    if (!known || (version !== 0n && known.version > version)) return;
    objects.delete(key);
    tools.onChange(known.object, true);
  }

  async function list(signal: AbortSignal): Promise<void> {
    const seen = new Set<string>();
    let next = '';
    let listedAt = '';
    do {
      const answer = fieldsOf(
        await connection.call({
          method: 'GET',
          path: resource.path,
          query: { ...resource.selector, limit: PAGE, ...(next && { continue: next }) },
          signal: clock.deadline(60_000, signal),
        }),
      );
      const metadata = fieldsOf(answer['metadata']);
      for (const item of Array.isArray(answer['items']) ? answer['items'] : []) {
        const object = resource.view(item);
        seen.add(resource.keyOf(object));
        set(object, versionOf(item));
      }
      next = textOf(metadata['continue']);
      listedAt = textOf(metadata['resourceVersion']);
    } while (next);
    for (const key of [...objects.keys()]) if (!seen.has(key)) drop(key, toVersion(listedAt));
    // Not before: a list that breaks off between two pages is no place to go on from.
    resumeAt = listedAt;
    synced = true;
    heardAt = clock.monotonic();
  }

  /** A watch that ends within its first second is no success: it would be asked for again without a pause. */
  function goesOn(startedAt: number): boolean {
    if (clock.monotonic() - startedAt <= 1_000) return false;
    if (failures >= LOUD_AFTER) log.info({ watch: resource.name }, 'watch goes on');
    failures = 0;
    return true;
  }

  /** Returns when the API server ends the watch. @throws Problem cluster-conflict when it has forgotten our place */
  async function follow(signal: AbortSignal): Promise<void> {
    const startedAt = clock.monotonic();
    const timeoutSeconds = SHORTEST_WATCH_SECONDS * (1 + clock.random());
    const idle = new AbortController();
    using watchdog = createWatchdog(clock, IDLE_MS, () => idle.abort());
    const lines = connection.lines({
      path: resource.path,
      query: {
        ...resource.selector,
        watch: 'true',
        allowWatchBookmarks: 'true',
        resourceVersion: resumeAt,
        timeoutSeconds: String(Math.floor(timeoutSeconds)),
      },
      signal: AbortSignal.any([signal, idle.signal]),
    });
    for await (const line of lines) {
      watchdog.feed();
      heardAt = clock.monotonic();
      goesOn(startedAt);
      const { type, object } = fieldsOf(JSON.parse(line));
      if (type === 'ERROR') throw expired(object);
      resumeAt = textOf(fieldsOf(fieldsOf(object)['metadata'])['resourceVersion']) || resumeAt;
      if (type === 'ADDED' || type === 'MODIFIED') set(resource.view(object), versionOf(object));
      else if (type === 'DELETED') drop(resource.keyOf(resource.view(object)), versionOf(object));
    }
    if (!goesOn(startedAt)) failures++;
  }

  return {
    get: (key) => objects.get(key)?.object,
    *values() {
      for (const { object } of objects.values()) yield object;
    },
    isSynced: () => synced,
    silentMs: () => clock.monotonic() - heardAt,
    put(object, resourceVersion) {
      const version = toVersion(resourceVersion);
      // The watch is past this version already: what it does not know then is gone, and must not come back.
      if (version <= toVersion(resumeAt) && !objects.has(resource.keyOf(object))) return;
      set(object, version);
    },
    async run(signal) {
      while (!signal.aborted) {
        let askedToWait = 0;
        try {
          if (resumeAt === '') await list(signal);
          await follow(signal);
        } catch (error) {
          if (signal.aborted) return;
          if (!keepsPlace(error)) resumeAt = '';
          if (isProblem(error)) askedToWait = error.details.retryAfterMs ?? 0;
          failures++;
          tools.onRestart(resource.name);
          log.debug({ watch: resource.name, error }, 'watch interrupted');
          if (failures === LOUD_AFTER) log.warn({ watch: resource.name, error }, 'watch keeps failing');
        }
        const backoff = failures === 0 ? 0 : Math.min(LONGEST_BACKOFF_MS, 100 * 2 ** Math.min(failures, 5));
        const pause = askedToWait + backoff * (0.5 + clock.random() / 2);
        await clock.sleep(pause, signal).catch(() => undefined);
      }
    },
  };
}

function expired(status: unknown): Problem {
  const upstream = String(Number(fieldsOf(status)['code']) || 0);
  return new Problem('cluster-conflict', 'the API server ended the watch', { details: { upstream } });
}

/**
 * False for a 410, as status or event, and for what cannot be read: then everything is listed anew. Who is not let in for
 * a while, for an expired token or a right that is missing, goes on where he was.
 */
function keepsPlace(error: unknown): boolean {
  if (isProblem(error, 'cluster-unreachable', 'deadline', 'cluster-throttled', 'file-unreadable'))
    return true;
  return isProblem(error, 'cluster-refused') && /^40[13]\b/.test(error.details.upstream ?? '');
}
