// Pushes and pulls an image over the registry HTTP API, following the registry's challenge with a username and a
// password, as a kubelet does: https://distribution.github.io/distribution/spec/auth/token/
import { readFileSync } from 'node:fs';
import { rootCertificates } from 'node:tls';
import type { Response } from 'undici';
import { Agent, fetch } from 'undici';
import type { Image, ImageBlob } from './image.ts';
import { MANIFEST_TYPES, makeImage, sha256 } from './image.ts';

/** A registry login, as it stands in a docker config. */
export interface RegistryLogin {
  readonly username: string;
  readonly password: string;
}

/** How a registry is reached. */
export interface TransferOptions {
  /** Shown to the registry's token server (or the registry, where it asks for Basic); anonymous when absent. */
  readonly authorization?: RegistryLogin | undefined;
  /** An authority (PEM) to trust besides the public ones, for the registry and its token server. */
  readonly certificateAuthorityFile?: string | undefined;
}

/** What a refused push or pull throws: `status` is the HTTP status, `address` who answered with it. */
export interface TransferError extends Error {
  readonly status: number;
  readonly address: string;
}

/** The login for a registry host ("127.0.0.1:5000") in the text of a `.dockerconfigjson`; undefined where it has none. */
export function loginFromDockerConfig(dockerConfigJson: string, host: string): RegistryLogin | undefined {
  // https://kubernetes.io/docs/concepts/configuration/secret/#docker-config-secrets
  const { auths } = JSON.parse(dockerConfigJson) as {
    auths: Record<string, { username?: string; password?: string; auth?: string } | undefined>;
  };
  const entry = auths[host];
  if (entry === undefined) return undefined;
  const [user = '', ...rest] = Buffer.from(entry.auth ?? '', 'base64')
    .toString()
    .split(':');
  return { username: entry.username ?? user, password: entry.password ?? rest.join(':') };
}

/** Pushes `image` (a tiny one when absent) and returns the digest of its manifest. Throws a `TransferError`. */
export async function pushImage(
  registryUrl: string,
  repository: string,
  tag: string,
  { image = makeImage(), ...options }: TransferOptions & { readonly image?: Image } = {},
): Promise<string> {
  const send = createSender(registryUrl, repository, 'pull,push', options);
  for (const { digest, bytes } of image.blobs) {
    const opened = await send('POST', new URL(`/v2/${repository}/blobs/uploads/`, registryUrl));
    // Relative or absolute, with or without a query of its own.
    const location = new URL(opened.headers.get('location') ?? '', opened.url);
    location.searchParams.set('digest', digest);
    await send('PUT', location, { type: 'application/octet-stream', body: bytes });
  }
  const { mediaType, digest, bytes } = image.manifest;
  await send('PUT', new URL(`/v2/${repository}/manifests/${tag}`, registryUrl), {
    type: mediaType,
    body: bytes,
  });
  return digest;
}

/** Pulls a tag or digest ("sha256:…") whole, checks every digest, and returns the image. Throws a `TransferError`, or
 * an ordinary error where the bytes do not match. */
export async function pullImage(
  registryUrl: string,
  repository: string,
  reference: string,
  options: TransferOptions = {},
): Promise<Image> {
  const send = createSender(registryUrl, repository, 'pull', options);
  const answer = await send('GET', new URL(`/v2/${repository}/manifests/${reference}`, registryUrl));
  const bytes = new Uint8Array(await answer.arrayBuffer());
  const promised = reference.startsWith('sha256:') ? reference : answer.headers.get('docker-content-digest');
  const digest = checked(`manifest ${reference}`, bytes, promised ?? sha256(bytes));
  // The digest says these are the bytes that were pushed; what is not a manifest fails in the next lines.
  const parsed = JSON.parse(Buffer.from(bytes).toString()) as {
    mediaType: string;
    config: { mediaType: string; digest: string };
    layers: { mediaType: string; digest: string }[];
  };
  const blobs: ImageBlob[] = [];
  for (const { mediaType, digest } of [parsed.config, ...parsed.layers]) {
    const blob = await send('GET', new URL(`/v2/${repository}/blobs/${digest}`, registryUrl));
    const content = new Uint8Array(await blob.arrayBuffer());
    blobs.push({ mediaType, digest: checked('blob', content, digest), bytes: content });
  }
  return { manifest: { mediaType: parsed.mediaType, digest, bytes }, blobs };
}

type Send = (
  method: string,
  url: URL,
  content?: { readonly type: string; readonly body: Uint8Array },
) => Promise<Response>;

function createSender(url: string, repository: string, actions: string, options: TransferOptions): Send {
  const { authorization, certificateAuthorityFile } = options;
  const dispatcher = new Agent({
    allowH2: false,
    connect: certificateAuthorityFile
      ? { ca: [...rootCertificates, readFileSync(certificateAuthorityFile, 'utf8')] }
      : {},
  });
  const basic = authorization
    ? `Basic ${Buffer.from(`${authorization.username}:${authorization.password}`).toString('base64')}`
    : undefined;
  let header: string | undefined;

  async function answerChallenge(challenge: string): Promise<string | undefined> {
    if (!/^bearer /i.test(challenge)) return basic;
    const parameters = new Map(
      [...challenge.matchAll(/(\w+)="([^"]*)"/g)].map(([, name = '', value = '']) => [name, value]),
    );
    const realm = new URL(parameters.get('realm') ?? '', url);
    const service = parameters.get('service');
    if (service) realm.searchParams.set('service', service);
    realm.searchParams.set('scope', parameters.get('scope') ?? `repository:${repository}:${actions}`);
    const answer = await fetch(realm, { dispatcher, headers: basic ? { authorization: basic } : {} });
    if (!answer.ok) throw await refusal('GET', realm, answer);
    const body = (await answer.json()) as { token?: string; access_token?: string };
    return `Bearer ${body.token ?? body.access_token}`;
  }

  return async (method, target, content) => {
    const once = () =>
      fetch(target, {
        method,
        dispatcher,
        headers: {
          accept: MANIFEST_TYPES.join(', '),
          ...(header ? { authorization: header } : {}),
          ...(content ? { 'content-type': content.type } : {}),
        },
        ...(content ? { body: content.body } : {}),
      });
    let answer = await once();
    const challenge = answer.headers.get('www-authenticate');
    if (answer.status === 401 && challenge !== null) {
      await answer.body?.cancel();
      header = await answerChallenge(challenge);
      answer = await once();
    }
    if (!answer.ok) throw await refusal(method, target, answer);
    return answer;
  };
}

function checked(what: string, bytes: Uint8Array, digest: string): string {
  const found = sha256(bytes);
  if (found !== digest) throw new Error(`${what} should be ${digest} and is ${found}`);
  return digest;
}

async function refusal(method: string, url: URL, answer: Response): Promise<TransferError> {
  // Without the query: an upload's holds the registry's own state.
  const address = `${url.origin}${url.pathname}`;
  const text = (await answer.text()).slice(0, 500).trim();
  const message = `${method} ${address} was answered with ${answer.status}: ${text}`;
  return Object.assign(new Error(message), { status: answer.status, address });
}
