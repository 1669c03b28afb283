// One round trip to an issuer: discovery document, then its keys. No memory; that is issuer-keys.ts.
import type { JSONWebKeySet, JWK } from 'jose';
import { Agent } from 'undici';
import * as z from 'zod';
import type { Clock } from '../clock.ts';
import { SecretText } from '../secret-text.ts';
import { readAuthorities, readText } from '../text-file.ts';
import type { Fetch, JsonCall } from './json-call.ts';
import { CALL_DEADLINE_MS, callJson, malformed, parseAnswer } from './json-call.ts';
import type { TrustedIssuer } from './trusted-issuer.ts';

/** kube-apiserver answers 406 for its keys to who accepts application/json only (RFC 7517 section 8.5). */
const ACCEPT = 'application/json, application/jwk-set+json';

const Discovery = z.object({ issuer: z.string(), jwks_uri: z.string() });

const KeySet = z.object({ keys: z.array(z.unknown()).max(1000) });

/** Members are jose's to judge; what is no public signature key by its very shape is left out, as RFC 7517 section 5 has it. */
const PublicKey = z
  .looseObject({ kty: z.enum(['RSA', 'EC']), kid: z.string().optional() })
  .refine((key) => !('d' in key));

/** Where an issuer's keys are. */
export type KeySource = Pick<
  TrustedIssuer,
  'issuer' | 'discoveryUrl' | 'keysHosts' | 'certificateAuthorityFile' | 'bearerFile'
> & {
  /** The keys themselves, where no discovery is needed to find them. */
  readonly keysUrl?: string;
};

/**
 * The keys that an issuer publishes (OpenID Connect Discovery 1.0, sections 4 and 3). CA and bearer file are read anew
 * each time. `jwks_uri` may only name the issuer's host, the discoveryUrl's, or one of `keysHosts`: it is where the
 * bearer goes, and what comes back decides who is let in.
 * @throws Problem `file-unreadable`, `exchange-unreachable`, `exchange-refused`, or `exchange-malformed`
 */
export async function fetchKeySet(
  source: KeySource,
  { clock, fetch }: { clock: Clock; fetch?: Fetch | undefined },
): Promise<JSONWebKeySet> {
  const { certificateAuthorityFile, bearerFile } = source;
  const ca = certificateAuthorityFile === undefined ? {} : { ca: readAuthorities(certificateAuthorityFile) };
  const bearer = bearerFile === undefined ? undefined : new SecretText(readText(bearerFile).trim());
  // An agent per round, because a round is rare and the next one may have another CA.
  const agent = new Agent({ allowH2: false, connect: ca });
  const cure = bearer
    ? 'the token in bearerFile must be valid there, its account bound to system:service-account-issuer-discovery'
    : 'bind the ClusterRole system:service-account-issuer-discovery to everybody, or set bearerFile';
  const call = { fetch, agent, bearer, signal: clock.deadline(CALL_DEADLINE_MS), accept: ACCEPT, cure };
  try {
    const keySet = parseAnswer(KeySet, await callJson(call, await keysUrl(source, call)), 'key set');
    const keys = keySet.keys.filter((key): key is JWK => PublicKey.safeParse(key).success);
    if (keys.length === 0) throw malformed(`the key set of ${source.issuer} holds no public RSA or EC key`);
    return { keys };
  } finally {
    await agent.destroy();
  }
}

async function keysUrl(source: KeySource, call: JsonCall): Promise<URL> {
  if (source.keysUrl !== undefined) return new URL(source.keysUrl);
  const answer = await callJson(call, discoveryUrl(source));
  const { issuer, jwks_uri: jwksUri } = parseAnswer(Discovery, answer, 'discovery document');
  if (issuer !== source.issuer) {
    throw malformed(
      `the discovery document of ${source.issuer} names another issuer; they must be equal byte for byte`,
    );
  }
  const url = URL.canParse(jwksUri) ? new URL(jwksUri) : undefined;
  if (url?.protocol !== 'https:') throw malformed(`jwks_uri of ${source.issuer} is no https URL`);
  const hosts = [new URL(source.issuer).host, discoveryUrl(source).host, ...source.keysHosts];
  if (hosts.includes(url.host)) return url;
  throw malformed(
    `jwks_uri of ${source.issuer} is on the host ${url.host}; name it in keysHosts if it is to be trusted`,
  );
}

function discoveryUrl({ issuer, discoveryUrl: configured }: KeySource): URL {
  return new URL(configured ?? `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`);
}
