// The kubelet's side of the plugin: credentialprovider.kubelet.k8s.io/v1, one request and one response.
// https://github.com/kubernetes/kubelet/blob/master/pkg/apis/credentialprovider/v1/types.go
import * as z from 'zod';
import { Problem } from '../problem.ts';
import { SecretText } from '../secret-text.ts';

export const PROTOCOL = 'credentialprovider.kubelet.k8s.io/v1';

/** An image name, a token and the annotations of an account, which Kubernetes bounds to 256 KiB. */
export const LARGEST_REQUEST_BYTES = 512 * 1024;

const CredentialProviderRequest = z.strictObject({
  apiVersion: z.literal(PROTOCOL),
  kind: z.literal('CredentialProviderRequest'),
  image: z.string().min(1).max(1024),
  serviceAccountToken: z
    .string()
    .max(64 * 1024)
    .optional(),
  serviceAccountAnnotations: z.record(z.string(), z.string()).nullish(),
});

export interface PluginRequest {
  /** Without tag and digest, Docker Hub's short names written out. */
  readonly image: string;
  /** Absent: the provider's entry in the kubelet's config has no tokenAttributes, or the pod no account. */
  readonly token: SecretText | undefined;
  /** Those alone that the provider's entry names. */
  readonly annotations: Readonly<Record<string, string>>;
}

export interface Login {
  readonly username: string;
  readonly password: SecretText;
}

export interface PluginAnswer {
  /** What else the kubelet may use the logins for while it remembers them: this image, or its whole registry host. */
  readonly cacheKeyType: 'Image' | 'Registry';
  /** Whole seconds; 0: not at all. */
  readonly cacheSeconds: number;
  /** By what the kubelet matches images with. */
  readonly auth: Readonly<Record<string, Login>>;
}

/** @throws Problem `request-malformed`, which repeats nothing of the text: it holds a token */
export function parseRequest(text: string): PluginRequest {
  const result = CredentialProviderRequest.safeParse(jsonFrom(text));
  if (!result.success) {
    const places = result.error.issues.map((issue) => {
      const keys = issue.code === 'unrecognized_keys' ? 'an unknown field' : issue.path.map(String)[0];
      return keys ?? 'the document';
    });
    throw malformed(`it is no CredentialProviderRequest of ${PROTOCOL}: ${[...new Set(places)].join(', ')}`);
  }
  const { image, serviceAccountToken, serviceAccountAnnotations } = result.data;
  return {
    image,
    token: serviceAccountToken ? new SecretText(serviceAccountToken) : undefined,
    annotations: serviceAccountAnnotations ?? {},
  };
}

function jsonFrom(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw malformed('it is no JSON');
  }
}

export function malformed(why: string): Problem {
  return new Problem('request-malformed', `the request on stdin cannot be answered: ${why}`);
}

/** The answer as the kubelet reads it, the only text of this program with a secret in it. */
export function answerText({ cacheKeyType, cacheSeconds, auth }: PluginAnswer): string {
  const revealed = Object.entries(auth).map(([key, { username, password }]) => [
    key,
    { username, password: password.reveal() },
  ]);
  return `${JSON.stringify({
    apiVersion: PROTOCOL,
    kind: 'CredentialProviderResponse',
    cacheKeyType,
    cacheDuration: `${cacheSeconds}s`,
    auth: Object.fromEntries(revealed),
  })}\n`;
}
