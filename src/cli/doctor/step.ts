// What one line of doctor says, which lines there are and in which order, and what the checks share. The checks
// themselves are in the files beside this one.
import { parseImageReference, type ImageReference } from '../../core/image-reference.ts';
import type { Clock } from '../../clock.ts';
import type { Config } from '../../config.ts';
import type { Principal } from '../../core/identity-parameters.ts';
import type { AccountView, NamespaceView } from '../../core/pod-view.ts';
import type { Credential } from '../../core/pull-credential.ts';
import type { RegistryRule } from '../../core/registry-rule.ts';
import type { HttpCall } from '../../registry/http-call.ts';
import type { IssuedToken, DoctorCluster } from './doctor-cluster.ts';

/** A contract, like the codes of problems: docs/doctor.md says what each of them checks. */
export const stepIds = [
  'config',
  'rule',
  'host',
  'cluster',
  'account',
  'namespace',
  'subject',
  'parameters',
  'issuer',
  'issuer-address',
  'issuer-reachable',
  'issuer-document',
  'audience',
  'fence',
  'token',
  'claims',
  'issuer-keys',
  'registry-limits',
  'exchange',
  'login',
] as const;
export type StepId = (typeof stepIds)[number];

export type Outcome = 'ok' | 'failed' | 'warning' | 'skipped';

export interface Finding {
  readonly outcome: Outcome;
  /** One sentence or fact; for `skipped`, why. Never a token, a password or the text of somebody's error. */
  readonly found: string;
  /** What to do about it. */
  readonly cure?: string;
}

export interface Step extends Finding {
  readonly step: StepId;
}

export function ok(found: string): Finding {
  return { outcome: 'ok', found };
}

export function skipped(found: string): Finding {
  return { outcome: 'skipped', found };
}

export function failed(found: string, cure?: string): Finding {
  return { outcome: 'failed', found, ...(cure !== undefined && { cure }) };
}

export function warning(found: string, cure?: string): Finding {
  return { outcome: 'warning', found, ...(cure !== undefined && { cure }) };
}

/** What the user asked about. */
export interface Question {
  /** Path of the config. */
  readonly config: string;
  readonly rule: string;
  readonly namespace: string;
  readonly account: string;
  readonly host: string | undefined;
  readonly image: ImageReference | undefined;
}

/** What earlier steps found out. */
export interface Facts {
  readonly question: Question;
  config?: Config;
  rule?: RegistryRule;
  host?: string;
  account?: AccountView;
  namespace?: NamespaceView;
  /** At least one. */
  principals?: readonly Principal[];
  /** The `iss` of this cluster's tokens. */
  issuer?: string;
  /** What the issuer's own address answers without credentials, else what the API server answers to the user. */
  discovery?: unknown;
  /** True once the issuer's own address has answered. */
  isIssuerPublic?: boolean;
  keysUrl?: string;
  token?: IssuedToken;
  credentials?: readonly Credential[];
}

/** A fact that a step needs; the order and `needs` of the steps see to it that it is there. */
export function known<Key extends keyof Facts>(facts: Facts, key: Key): NonNullable<Facts[Key]> {
  const fact = facts[key];
  if (fact === undefined || fact === null) throw new TypeError(`no step has found the ${key}`);
  return fact;
}

export interface DoctorTools {
  readonly cluster: DoctorCluster;
  readonly http: HttpCall;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** PEM that the issuer's address is verified with; undefined: the system's. */
  readonly issuerAuthority: string | undefined;
  /** PEM that the registry and its realm are verified with; undefined: the rule's, else the system's. */
  readonly registryAuthority: string | undefined;
}

export interface Check {
  readonly step: StepId;
  /** Is not run unless all of them were `ok` or a `warning`. */
  readonly needs: readonly StepId[];
  /** Asks nobody: part of `--offline`. */
  readonly isOffline?: boolean;
  /** @throws Problem where it could not be checked at all, and `usage` */
  run(facts: Facts, tools: DoctorTools): Finding | Promise<Finding>;
}

/** `shop/web`, as messages and usernames have it. */
export function accountText({ namespace, account }: Question): string {
  return `${namespace}/${account}`;
}

/** @throws Problem `image-unparseable` */
export function imageOf(text: string | undefined): ImageReference | undefined {
  return text === undefined ? undefined : parseImageReference(text);
}
