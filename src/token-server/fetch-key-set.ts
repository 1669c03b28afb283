// One round trip to an issuer: discovery document, then its keys. No memory; that is issuer-keys.ts.
import type { JSONWebKeySet } from 'jose';
import { Agent, fetch as undiciFetch } from 'undici';
import * as z from 'zod';
import type { Clock } from '../clock.ts';
import { readText } from '../config.ts';
import { Problem } from '../problem.ts';
import { SecretText } from '../secret-text.ts';
import type { TrustedIssuer } from './trusted-issuer.ts';

export type Fetch = typeof undiciFetch;

/** For both documents together. A client waits for this when no keys are known yet, and kubelets give up after a minute. */
export const FETCH_DEADLINE_MS = 5000;

/** Two keys are 2 KiB; this is room for a hundred rotations nobody cleaned up, and a bound on what a hostile host can send. */
const LARGEST_DOCUMENT_BYTES = 256 * 1024;

/** kube-apiserver answers 406 for its keys to who accepts application/json only (RFC 7517 section 8.5). */
const ACCEPT = 'application/json, application/jwk-set+json';

const Discovery = z.object({ issuer: z.string(), jwks_uri: z.string() });

/** Members are jose's to judge; only what is no public signature key by its very shape is left out. */
const KeySet = z.object({
  keys: z.array(z.looseObject({ kty: z.string(), kid: z.string().optional() })).max(1000),
});

interface Call {
  readonly fetch: Fetch;
  readonly agent: Agent;
  readonly signal: AbortSignal;
  readonly bearer: SecretText | undefined;
}

/**
 * The keys that an issuer publishes (OpenID Connect Discovery 1.0, sections 4 and 3). CA and bearer file are read anew
 * each time. `jwks_uri` may only name the issuer's host, the discoveryUrl's, or one of `keysHosts`: it is where the
 * bearer goes, and what comes back decides who is let in.
 * @throws Problem `file-unreadable`, `exchange-unreachable`, `exchange-refused`, or `exchange-malformed`
 */
export async function fetchKeySet(
  trusted: TrustedIssuer,
  { clock, fetch = undiciFetch }: { clock: Clock; fetch?: Fetch | undefined },
): Promise<JSONWebKeySet> {
  const { certificateAuthorityFile, bearerFile } = trusted;
  const ca = certificateAuthorityFile === undefined ? {} : { ca: readText(certificateAuthorityFile) };
  const bearer = bearerFile === undefined ? undefined : new SecretText(readText(bearerFile).trim());
  // An agent per round, because a round is rare and the next one may have another CA.
  const agent = new Agent({ allowH2: false, connect: ca });
  const call = { fetch, agent, bearer, signal: clock.deadline(FETCH_DEADLINE_MS) };
  try {
    const discovery = parse(Discovery, await getJson(call, discoveryUrl(trusted)), 'discovery document');
    if (discovery.issuer !== trusted.issuer) {
      throw malformed(
        `the discovery document of ${trusted.issuer} names another issuer; they must be equal byte for byte`,
      );
    }
    const keySet = parse(KeySet, await getJson(call, keysUrl(trusted, discovery.jwks_uri)), 'key set');
    const keys = keySet.keys.filter((key) => (key.kty === 'RSA' || key.kty === 'EC') && !('d' in key));
    if (keys.length === 0) throw malformed(`the key set of ${trusted.issuer} holds no public RSA or EC key`);
    return { keys } as JSONWebKeySet; // looseObject widens the members that jose checks itself
  } finally {
    await agent.destroy();
  }
}

function discoveryUrl({ issuer, discoveryUrl: configured }: TrustedIssuer): URL {
  return new URL(configured ?? `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`);
}

function keysUrl(trusted: TrustedIssuer, jwksUri: string): URL {
  const url = URL.canParse(jwksUri) ? new URL(jwksUri) : undefined;
  if (url?.protocol !== 'https:') throw malformed(`jwks_uri of ${trusted.issuer} is no https URL`);
  const hosts = [new URL(trusted.issuer).host, discoveryUrl(trusted).host, ...trusted.keysHosts];
  if (hosts.includes(url.host)) return url;
  throw malformed(
    `jwks_uri of ${trusted.issuer} is on the host ${url.host}; name it in keysHosts if it is to be trusted`,
  );
}

async function getJson({ fetch, agent, signal, bearer }: Call, url: URL): Promise<unknown> {
  const where = `${url.host}${url.pathname}`;
  try {
    const answer = await fetch(url, {
      dispatcher: agent,
      signal,
      redirect: 'manual',
      headers: { accept: ACCEPT, ...(bearer && { authorization: `Bearer ${bearer.reveal()}` }) },
    });
    if (answer.status !== 200) throw statusProblem(answer.status, where, bearer !== undefined);
    return JSON.parse(await readBounded(answer.body ?? [], where));
  } catch (error) {
    if (error instanceof Problem) throw error;
    if (error instanceof SyntaxError) throw malformed(`${where} answered with something that is no JSON`);
    const why = signal.aborted ? `no answer in ${FETCH_DEADLINE_MS / 1000} s` : causeCode(error);
    throw new Problem('exchange-unreachable', `${where} cannot be reached: ${why}`, { cause: error });
  }
}

async function readBounded(
  body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  where: string,
): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.byteLength;
    if (size > LARGEST_DOCUMENT_BYTES)
      throw malformed(`${where} answered with more than ${LARGEST_DOCUMENT_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function statusProblem(status: number, where: string, hasBearer: boolean): Problem {
  const details = { upstream: String(status) };
  if (status === 401 || status === 403) {
    const cure = hasBearer
      ? 'the token in bearerFile must be valid there, its account bound to system:service-account-issuer-discovery'
      : 'bind the ClusterRole system:service-account-issuer-discovery to everybody, or set bearerFile';
    return new Problem('exchange-refused', `${where} answered ${status}: ${cure}`, { details });
  }
  const code = status >= 500 || status === 429 ? 'exchange-unreachable' : 'exchange-malformed';
  return new Problem(code, `${where} answered ${status}, wanted was 200`, { details });
}

/** The code of a network or TLS error, such as ECONNREFUSED; fetch hides it one cause down. */
function causeCode(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  return typeof code === 'string' && /^[A-Z0-9_]+$/.test(code) ? code : 'network error';
}

function parse<Schema extends z.ZodType>(schema: Schema, value: unknown, what: string): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw malformed(`what the issuer answered is no ${what}`);
}

function malformed(sentence: string): Problem {
  return new Problem('exchange-malformed', sentence);
}
