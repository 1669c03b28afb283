// What a person reads of a static pull secret: what it is, who set it and which line to remove; and what to do instead.
import { INJECT_LABEL, SECRET_PREFIX } from './vocabulary.ts';
import type { Finding, PolicyQuestion } from './pull-policy.ts';

/** A sentence that lists more is not read. */
const MOST_LISTED = 5;

/** The Secrets that OpenShift makes for every account and writes into its list; removed, they come again. */
const PLATFORM_MADE = /-dockercfg-[a-z0-9]{5}$/;

/** The step that comes first where a namespace has not taken it. */
export const OPT_IN = `label the namespace ${INJECT_LABEL}=enabled`;

export function isPlatformMade(secret: string): boolean {
  return PLATFORM_MADE.test(secret);
}

/** Who set it, and the line to remove. */
export function whatIs(question: PolicyQuestion, secret: string, origin: Finding['origin']): string {
  const { account, foreign, writtenIn } = question;
  const name = JSON.stringify(secret);
  if (foreign?.has(secret)) {
    return `${name} is a Secret that keyless-pull did not make: delete it, and keyless-pull makes its own of that name`;
  }
  if (origin === 'inherited') return inheritedText(secret, account.name);
  const where = writtenIn ?? 'the pod';
  const remove = writtenIn === undefined ? 'remove that line' : 'remove that line there';
  const kind = secret.startsWith(SECRET_PREFIX)
    ? `is no credential of ServiceAccount ${account.name}, whatever its name says`
    : 'is a static pull secret';
  return `${name} in spec.imagePullSecrets ${kind}, written in ${where}: ${remove}`;
}

function inheritedText(secret: string, account: string): string {
  const what = `${JSON.stringify(secret)} is a static pull secret, inherited from ServiceAccount ${account}`;
  return isPlatformMade(secret)
    ? `${what}, where the platform would put it again: ask the cluster's administrators for an exemption of ${JSON.stringify(secret.replace(/[^-]*$/, '*'))}`
    : `${what}: remove it from the account's imagePullSecrets`;
}

/** Labels to set, the annotation to add, and what the pod has then. */
export function cureFor({ pod, plan, namespaceOptedIn }: PolicyQuestion): string {
  const covered = [...plan.needs.map(({ need }) => need.host), ...plan.onNode];
  const uncovered = plan.leftOut.filter(({ reason }) => reason === 'no-rule').map(({ host }) => host);
  // What a pod asks to have mounted is no image of it.
  const refused = plan.leftOut
    .filter(({ reason, host, container }) => reason !== 'no-rule' && host + container !== '')
    .map(({ message, wants }) => (wants ? `${message}: ${annotate(pod, wants)}` : message));
  const steps: string[] = [];
  if (!namespaceOptedIn) steps.push(OPT_IN);
  if (pod.labels[INJECT_LABEL] === 'disabled')
    steps.push(`remove the label ${INJECT_LABEL}=disabled from the pod`);
  const sentences: string[] = [];
  if (covered.length > 0) {
    const start = steps.length > 0 ? `${steps.join(', ')} and ` : '';
    sentences.push(`${start}keyless-pull gives this pod its own credential for ${listOf(covered)}`);
  }
  if (uncovered.length > 0)
    sentences.push(
      `no rule covers ${listOf(uncovered)}: ask the cluster's administrators for one if it is private`,
    );
  return [...sentences, ...refused.slice(0, MOST_LISTED)].join('; ') || 'no image of this pod needs it';
}

function annotate(
  { namespace, serviceAccount }: PolicyQuestion['pod'],
  { annotation, looksLike }: { readonly annotation: string; readonly looksLike: string },
): string {
  return `kubectl annotate serviceaccount -n ${namespace} ${serviceAccount} ${annotation}=… (${looksLike})`;
}

/** The first few, and how many more. */
export function listOf(names: readonly string[]): string {
  const more = names.length - MOST_LISTED;
  return names.slice(0, MOST_LISTED).join(', ') + (more > 0 ? ` and ${more} more` : '');
}
