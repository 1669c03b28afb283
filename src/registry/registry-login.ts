// A registry login tried as a container runtime would: the registry's challenge, its token realm, and the manifest of an
// image. It proves a credential before a kubelet needs it; nothing of the worker's way calls it.
// https://distribution.github.io/distribution/spec/auth/token/
import * as z from 'zod';
import { Problem } from '../problem.ts';
import { ask, type AskTools } from './ask.ts';
import { challengesOf } from './challenge.ts';
import { member, type Refusal } from './refusal.ts';
import { SecretAnswer } from './secret-answer.ts';
import type { ImageReference } from '../core/image-reference.ts';
import type { Credential } from '../core/pull-credential.ts';
import type { Answer, Step } from './registry-family.ts';
import type { SecretText } from '../secret-text.ts';

export interface LoginOutcome {
  /** What the registry asks for; `nothing`: everybody is let in. */
  readonly asked: 'nothing' | 'Basic' | 'Bearer';
  /** Where user name and password went: the registry, or the realm that it named. */
  readonly sentTo: string;
}

export interface LoginWish {
  readonly host: string;
  readonly credential: Pick<Credential, 'username' | 'password'>;
  /** Absent: whether the login is taken at all; what it opens is not known then. */
  readonly image: ImageReference | undefined;
}

/** What a runtime asks for: https://github.com/opencontainers/image-spec, and Docker's older names of the same. */
const MANIFEST_TYPES = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ');

/** Registries say `insufficient_scope` in the challenge, and UNAUTHORIZED in the body for everything. */
const refusal: Refusal = {
  codeOf: (body, header) =>
    /error="([a-z_]+)"/.exec(header('www-authenticate') ?? '')?.[1] ?? member(body, 'errors', 0, 'code'),
  cures: {
    '': 'the login is not accepted, or its user may not pull this',
    UNAUTHORIZED: 'the login is not accepted, or its user may not pull this',
    DENIED: 'the login is accepted, and its user may not pull this',
    insufficient_scope: 'the login is accepted, and its user may not pull this repository: grant it there',
    invalid_token:
      "the registry does not accept its realm's token: service, issuer and signing key must be the same at both",
    NAME_UNKNOWN: 'there is no such repository, or this user may not know of it',
    MANIFEST_UNKNOWN: 'the login is accepted, and there is no such image',
  },
};

const anything = z.unknown();
const Challenge = z.object({
  scheme: z.enum(['nothing', 'basic', 'bearer']),
  realm: z.string().default(''),
  service: z.string().max(255).optional(),
});
/** Both may be there, and one of them empty. */
const Bearer = z.union([SecretAnswer, z.literal(['', null]).transform(() => undefined)]).optional();
const RealmAnswer = z
  .object({ token: Bearer, access_token: Bearer })
  .transform(({ token, access_token: other }) => token ?? other)
  .pipe(z.custom<SecretText>((token) => token !== undefined));

/** @throws Problem of the exchange-… family: the sentence says who refused what */
export async function tryRegistryLogin(tools: AskTools, wish: LoginWish): Promise<LoginOutcome> {
  const registry = new URL(`https://${wish.host}/v2/`);
  const { data: challenge } = await askRegistry(tools, {
    url: registry,
    alsoGood: [401],
    read: (_text, header) => challengeOf(header('www-authenticate')),
    answer: Challenge,
    refusal,
  });
  const { username, password } = wish.credential;
  const { host } = registry;
  const basic = { username, password };
  switch (challenge.scheme) {
    case 'nothing':
      // A 401 without a challenge reads like this too.
      await ask(tools, { url: registry, read: () => undefined, answer: anything, refusal });
      await pull(tools, wish, {});
      return { asked: 'nothing', sentTo: host };
    case 'basic':
      await ask(tools, { url: registry, basic, read: () => undefined, answer: anything, refusal });
      await pull(tools, wish, { basic });
      return { asked: 'Basic', sentTo: host };
    case 'bearer': {
      const realm = realmOf(challenge, wish);
      const { data: bearer } = await ask(tools, { url: realm, basic, answer: RealmAnswer, refusal });
      await ask(tools, { url: registry, bearer, read: () => undefined, answer: anything, refusal });
      await pull(tools, wish, { bearer });
      return { asked: 'Bearer', sentTo: realm.host };
    }
  }
}

/** The whole manifest: it is small, and HEAD is no word of our http. */
async function pull(
  tools: AskTools,
  { host, image }: LoginWish,
  proof: Pick<Step<z.ZodType>, 'basic' | 'bearer'>,
): Promise<void> {
  if (!image) return;
  const url = new URL(
    `https://${host}/v2/${image.repository}/manifests/${image.digest ?? image.tag ?? 'latest'}`,
  );
  const headers = { accept: MANIFEST_TYPES };
  await ask(tools, { url, headers, ...proof, read: () => undefined, answer: anything, refusal });
}

/** As runtimes do, a realm on another host is followed; unlike some, never without https. */
function realmOf({ realm, service }: z.output<typeof Challenge>, { host, image }: LoginWish): URL {
  const url = URL.canParse(realm) ? new URL(realm) : undefined;
  if (!url || url.protocol !== 'https:') {
    throw new Problem(
      'exchange-refused',
      `${host} wants the login at a realm that is no https URL: a password is sent over https alone`,
    );
  }
  if (service !== undefined) url.searchParams.set('service', service);
  if (image) url.searchParams.set('scope', `repository:${image.repository}:pull`);
  return url;
}

async function askRegistry<Schema extends z.ZodType>(
  tools: AskTools,
  step: Step<Schema>,
): Promise<Answer<z.output<Schema>>> {
  try {
    return await ask(tools, step);
  } catch (error) {
    if (!(error instanceof Problem) || !speaksPlainHttp(error.cause)) throw error;
    throw new Problem(
      'exchange-refused',
      `${step.url.host} speaks plain http: a password is sent over https alone, also on localhost; give the registry a certificate`,
      { cause: error },
    );
  }
}

/** What TLS says of an answer that begins with "HTTP/1.1 400". */
function speaksPlainHttp(cause: unknown): boolean {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  return (
    code === 'EPROTO' || /^ERR_SSL_(?:WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST)$/.test(code)
  );
}

/** Of several challenges Bearer is taken, as runtimes do. */
function challengeOf(header: string | undefined): Record<string, string> {
  if (header === undefined) return { scheme: 'nothing' };
  const challenges = challengesOf(header);
  const bearer = challenges.get('bearer');
  if (bearer) return { ...bearer, scheme: 'bearer' };
  return { scheme: challenges.has('basic') ? 'basic' : 'unknown' };
}
