// What doctor asks of the cluster, with the rights of the user: a few questions, none of which changes anything.
import type { AccountView, NamespaceView } from '../../core/pod-view.ts';
import type { SecretText } from '../../secret-text.ts';

/** A no is an answer here: doctor says which right is missing, and goes on. */
export type Reply<Thing> =
  | { readonly kind: 'found'; readonly thing: Thing }
  | { readonly kind: 'missing' }
  | Refused;

export interface Refused {
  readonly kind: 'refused';
  /** Name of the ValidatingAdmissionPolicy that said no; absent: a right is missing. */
  readonly policy?: string;
  /** Which of the demands of our own fence on tokens was not met. */
  readonly demand?: 'audience' | 'binding' | 'namespace';
}

/** A token of the account, bound to nothing, for one audience, for ten minutes. Instants are epoch milliseconds. */
export interface IssuedToken {
  readonly token: SecretText;
  readonly issuedAt: number;
  readonly expiresAt: number;
  /** Of its header: `kid` and `alg`, empty where there is none. */
  readonly keyId: string;
  readonly algorithm: string;
  readonly claims: Readonly<Record<string, unknown>>;
}

/** Every call throws a Problem when the API server could not be asked at all, and nothing else. */
export interface DoctorCluster {
  /** A sentence: who answers, and whom it takes us for. */
  greeting(): Promise<string>;
  account(namespace: string, name: string): Promise<Reply<AccountView>>;
  namespace(name: string): Promise<Reply<NamespaceView>>;
  /** The API server's own `/.well-known/openid-configuration`. */
  discovery(): Promise<Reply<unknown>>;
  /** What our fence lets the worker ask tokens for. */
  fenceAudiences(): Promise<Reply<readonly string[]>>;
  /** `uid` is a precondition: a recreated account is another one. */
  token(account: AccountView, audience: string): Promise<Reply<IssuedToken>>;
}
