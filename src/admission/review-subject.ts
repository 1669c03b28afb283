// Whose pod it is: account and namespace of a review, as the watch knows them, or as a live look finds them.
import { isProblem } from '../problem.ts';
import type { AccountView, NamespaceView } from '../core/pod-view.ts';
import type { RegistryRule } from '../core/registry-rule.ts';
import type { AccountLookup } from '../cluster/account-lookup.ts';
import type { ClusterView } from '../cluster/cluster.ts';

/** What every review carries. */
export interface Call {
  /** Ends shortly before the API server gives up. Made when first asked for: a timer for every review would cost. */
  readonly signal: () => AbortSignal;
}

export interface SubjectTools {
  readonly view: Pick<ClusterView, 'account' | 'namespace' | 'unsynced'>;
  readonly lookup: AccountLookup;
}

/** `missing`: the API server has none. `unknown`: it could not be asked. In both the view is empty but for the names. */
export interface Subject {
  readonly account: AccountView;
  readonly presence: 'known' | 'missing' | 'unknown';
}

/** The account from the watch alone. */
export function subjectInView({ view }: SubjectTools, namespace: string, name: string): Subject {
  const account = view.account(namespace, name);
  return account ? { account, presence: 'known' } : absent(namespace, name, 'unknown');
}

/** @throws Problem `not-ready` or `deadline`: the watches have not listed yet, and a live look failed too */
export async function lookUpSubject(
  { view, lookup }: SubjectTools,
  call: Call,
  namespace: string,
  name: string,
): Promise<Subject> {
  try {
    const account = await lookup.account(namespace, name, call.signal());
    return account ? { account, presence: 'known' } : absent(namespace, name, 'missing');
  } catch (error) {
    if (!isProblem(error) || view.unsynced().length > 0) throw error;
    return absent(namespace, name, 'unknown');
  }
}

function absent(namespace: string, name: string, presence: 'missing' | 'unknown'): Subject {
  const account: AccountView = {
    namespace,
    name,
    uid: '',
    annotations: {},
    pullSecrets: [],
    isDeleting: false,
  };
  return { account, presence };
}

/**
 * The namespace, if the watch knows it. One that it does not know costs a live look only where a rule reads labels; one
 * that is not `isEnough` costs it always, because the watch may be a moment behind the API server that sent the review.
 * A promise only where somebody has to be asked: awaiting what is known costs the warm path.
 * @throws Problem `not-ready` or `deadline`, in the promise: the labels decide and cannot be had
 */
export function namespaceFor(
  tools: SubjectTools,
  call: Call,
  name: string,
  rules: readonly RegistryRule[],
  isEnough: (known: NamespaceView) => boolean = () => true,
): NamespaceView | undefined | Promise<NamespaceView | undefined> {
  const known = tools.view.namespace(name);
  if (known ? isEnough(known) : !rules.some(readsLabels)) return known;
  return lookUpNamespace(tools, call, name, known, isEnough);
}

async function lookUpNamespace(
  { lookup }: SubjectTools,
  call: Call,
  name: string,
  known: NamespaceView | undefined,
  isEnough: (known: NamespaceView) => boolean,
): Promise<NamespaceView | undefined> {
  try {
    return (await lookup.namespace(name, call.signal(), isEnough)) ?? known;
  } catch (error) {
    if (!isProblem(error) || !known) throw error;
    return known;
  }
}

/** Whether a chosen Secret name is ours depends on the opt-in. */
function readsLabels(rule: RegistryRule): boolean {
  if (rule.secretName === 'annotation') return true;
  return rule.subjects?.some((subject) => subject.namespaceSelector !== undefined) ?? false;
}
