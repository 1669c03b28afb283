// The Secret that carries a credential to the kubelet: its name, and its manifest. Nobody here can read one back.
import { hash } from 'node:crypto';
import {
  MANAGED_LABEL,
  RECORD_API_VERSION,
  RECORD_KIND,
  SECRET_PREFIX,
  VELERO_EXCLUDE_LABEL,
} from './vocabulary.ts';
import type { Credential, Need } from './pull-credential.ts';

/** The digits of RFC 4648 base32 in lower case: legal in names and never mistaken for one another. */
const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';

/** 13 (prefix) + 20 + 1 + 12 + 1 + 16 = 63, so that a name also fits where a label value is wanted. */
const ACCOUNT_CHARACTERS = 20;
const RULE_CHARACTERS = 12;
/** 16 base32 digits are 80 bits: tenants choose account names and must not find two that meet. */
const HASH_CHARACTERS = 16;

/**
 * `keyless-pull-<account>-<rule>-<hash>`, at most 63 characters: cut for the eye, hashed over the whole of account,
 * rule, principal and host. Frozen by golden vectors: running pods carry these names.
 */
export function secretNameFor(account: string, rule: string, principal: string, host: string): string {
  const whole = JSON.stringify([account, rule, principal, host]);
  const known = knownNames.get(whole);
  if (known !== undefined) return known;
  const name = `${SECRET_PREFIX}${cut(account, ACCOUNT_CHARACTERS)}-${cut(rule, RULE_CHARACTERS)}-${hashOf(whole)}`;
  if (knownNames.size >= MOST_KNOWN_NAMES) knownNames.clear();
  knownNames.set(whole, name);
  return name;
}

/** Every pod of an account asks for the same few; 10,000 of 200 bytes are 2 MB, and a flood of others costs one start anew. */
const MOST_KNOWN_NAMES = 10_000;
const knownNames = new Map<string, string>();

function cut(text: string, length: number): string {
  return text.replaceAll('.', '-').slice(0, length).replace(/-+$/, '');
}

function hashOf(text: string): string {
  const bytes = hash('sha256', text, 'buffer');
  let digits = '';
  for (let bit = 0; digits.length < HASH_CHARACTERS; bit += 5) {
    const pair = ((bytes[bit >> 3] ?? 0) << 8) | (bytes[(bit >> 3) + 1] ?? 0);
    digits += BASE32[(pair >> (11 - (bit & 7))) & 31];
  }
  return digits;
}

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller: boolean;
  readonly blockOwnerDeletion: boolean;
}

/** A core/v1 Secret as it is written. `data` holds the credential in base64: the object goes to the API server and nowhere else. */
export interface SecretManifest {
  readonly apiVersion: 'v1';
  readonly kind: 'Secret';
  readonly type: 'kubernetes.io/dockerconfigjson';
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly uid?: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly ownerReferences: readonly OwnerReference[];
  };
  readonly data: Readonly<Record<'.dockerconfigjson', string>>;
}

/**
 * The Secret of a need, owned by its record. Without a credential it holds `{"auths":{}}`, which kubelets read as "no
 * login here". With `uid` the API server refuses (409) to write over any other life of that name.
 */
export function secretManifest(
  need: Need,
  recordUid: string,
  content?: { uid: string; credential?: Credential },
): SecretManifest {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'kubernetes.io/dockerconfigjson',
    metadata: {
      name: need.secretName,
      namespace: need.identity.namespace,
      ...(content && { uid: content.uid }),
      labels: { [MANAGED_LABEL]: 'true', [VELERO_EXCLUDE_LABEL]: 'true' },
      ownerReferences: [
        {
          apiVersion: RECORD_API_VERSION,
          kind: RECORD_KIND,
          name: need.secretName,
          uid: recordUid,
          controller: true,
          blockOwnerDeletion: false,
        },
      ],
    },
    data: { '.dockerconfigjson': Buffer.from(dockerConfig(content?.credential)).toString('base64') },
  };
}

/** Username, password and auth: some readers know only the first two, some only the last. */
function dockerConfig(credential: Credential | undefined): string {
  if (!credential) return '{"auths":{}}';
  const password = credential.password.reveal();
  const auth = Buffer.from(`${credential.username}:${password}`).toString('base64');
  const login = { username: credential.username, password, auth };
  return JSON.stringify({
    auths: Object.fromEntries(credential.hosts.map((host) => [dockerConfigKey(host), login])),
  });
}

/** Docker Hub's key is a URL for history's sake; the kubelet and every client know it. */
function dockerConfigKey(host: string): string {
  return host === 'docker.io' ? 'https://index.docker.io/v1/' : host;
}
