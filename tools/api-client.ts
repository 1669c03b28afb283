// Small requests to a Kubernetes API server as a bearer of some token; for tests and the demo, not for the product.
import { readFileSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'undici';
import { stringify } from 'yaml';

/** Where an API server is and the file (PEM) of the authority that signed its certificate. */
export interface ApiServerAddress {
  readonly url: string;
  readonly certificateAuthorityFile: string;
}

/** The answer, whatever its status; `body` is the parsed JSON, or the text where the server sent no JSON. */
export interface ApiAnswer<Body> {
  readonly status: number;
  readonly body: Body;
  /** What `kubectl` would show as "Warning: …". */
  readonly warnings: readonly string[];
}

/** One request. `body` is sent as JSON; a PATCH is a merge patch unless `contentType` says otherwise. */
export type ApiRequest = <Body = Record<string, unknown>>(
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
  path: string,
  body?: unknown,
  options?: { readonly contentType?: string },
) => Promise<ApiAnswer<Body>>;

/** A request function that authenticates with `token`. Its idle connections do not keep the process alive. */
export function apiClient(server: ApiServerAddress, token: string): ApiRequest {
  const dispatcher = new Agent({
    // Over HTTP/2 one lost connection would take all requests in flight with it when a test restarts the server.
    allowH2: false,
    connect: { ca: readFileSync(server.certificateAuthorityFile, 'utf8') },
  });
  return async <Body>(
    method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    path: string,
    body?: unknown,
    { contentType = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json' } = {},
  ) => {
    const answer = await request(new URL(path, server.url), {
      method,
      dispatcher,
      headers: {
        // The key set comes as application/jwk-set+json only, /readyz only as text.
        accept: 'application/json, */*;q=0.5',
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': contentType }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.body.text();
    // A watch answers with as many documents as it has events, a line each.
    const isWatch = answer.statusCode === 200 && /[?&]watch=/.test(path);
    const isJson = !isWatch && /^application\/(.+\+)?json/.test(String(answer.headers['content-type']));
    // The caller names the shape it expects; this client is for tests, whose assertions are the check.
    return {
      status: answer.statusCode,
      body: (isJson ? JSON.parse(text) : text) as Body,
      warnings: warningsIn(answer.headers['warning']),
    };
  };
}

/** RFC 7234 section 5.5 as the API server writes it: `299 - "text"`. */
function warningsIn(header: string | string[] | undefined): string[] {
  const lines = header === undefined ? [] : [header].flat();
  return lines.flatMap((line) =>
    [...line.matchAll(/299 \S+ "((?:[^"\\]|\\.)*)"/g)].map(([, text = '']) =>
      text.replaceAll(/\\(.)/g, '$1'),
    ),
  );
}

/** What may be asked of a token; the API server's own audience and 3600 seconds when absent. At least 600 seconds. */
export interface TokenOptions {
  readonly audiences?: readonly string[];
  readonly expirationSeconds?: number;
}

/** A token of a ServiceAccount from the TokenRequest API, asked for by `admin`. Throws the server's message. */
export async function serviceAccountToken(
  { admin }: { readonly admin: ApiRequest },
  namespace: string,
  name: string,
  { audiences = [], expirationSeconds = 3600 }: TokenOptions = {},
): Promise<string> {
  const answer = await admin<{ status: { token: string }; message?: string }>(
    'POST',
    `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`,
    {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: { audiences, expirationSeconds },
    },
  );
  if (answer.status !== 201) {
    throw new Error(`no token for ${namespace}/${name}: ${answer.status} ${answer.body.message}`);
  }
  return answer.body.status.token;
}

/** Writes a kubeconfig with one context that bears `token`; `namespace` is "default" when absent. */
export function writeKubeconfig(
  target: ApiServerAddress & { readonly token: string; readonly namespace?: string | undefined },
  path: string,
): void {
  const name = 'keyless-pull';
  const kubeconfig = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': name,
    clusters: [
      { name, cluster: { server: target.url, 'certificate-authority': target.certificateAuthorityFile } },
    ],
    users: [{ name, user: { token: target.token } }],
    contexts: [{ name, context: { cluster: name, user: name, namespace: target.namespace ?? 'default' } }],
  };
  writeFileSync(path, stringify(kubeconfig), { mode: 0o600 });
}
