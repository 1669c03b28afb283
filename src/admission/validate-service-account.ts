// The policy for an account: annotations of ours that no rule could take are refused where the namespace opted in, and the
// static pull secrets that its pods would inherit are judged by mode. What was there before never denies.
import { annotationNotesOf } from '../core/account-annotations.ts';
import { accountFindingsOf, accountHint } from '../core/account-policy.ts';
import { isPlatformMade } from '../core/finding-text.ts';
import { injectionOf, viewAccount, type AccountView, type NamespaceView } from '../core/pod-view.ts';
import { staticPullSecretsMode, type Finding } from '../core/pull-policy.ts';
import { PROTECTED_NAMESPACES } from '../core/vocabulary.ts';
import { isProblem } from '../problem.ts';
import { policyVerdict } from './policy-verdict.ts';
import { allow, deny } from './verdict.ts';
import type { Call } from './review-subject.ts';
import type { ValidatePod, ValidateTools } from './validate-pod.ts';

export function createValidateServiceAccount(tools: ValidateTools): ValidatePod {
  return async (call, request, mode) => {
    const { namespace: name, operation, subResource } = request;
    if (subResource !== '' || (operation !== 'CREATE' && operation !== 'UPDATE')) return allow('unchanged');
    if (PROTECTED_NAMESPACES.includes(name)) return allow('protected-namespace');
    // An account that is being created may lack its namespace.
    const account: AccountView = { ...viewAccount(request.object), namespace: name };
    const before = operation === 'UPDATE' ? viewAccount(request.oldObject) : undefined;
    const { rules, policy } = tools.settings();
    const notes = annotationNotesOf(account.annotations, before?.annotations ?? {}, rules);
    const isNoted = notes.faults.length + notes.warnings.length > 0;
    const namespace = await namespaceOf(tools, call, name, isNoted);
    const isOptedIn = injectionOf(namespace) !== 'off';
    const facts = { serviceAccount: account.name };
    const warnings = isOptedIn ? notes.warnings : [];
    if (isOptedIn && notes.faults.length > 0)
      return deny('annotations-malformed', notes.faults.join('; '), { facts, warnings });

    const old = new Set(before?.pullSecrets);
    const added = account.pullSecrets.some((secret) => !old.has(secret));
    const labels = namespace?.labels ?? {};
    if (!added || staticPullSecretsMode(labels, policy.defaultMode) === 'off')
      return allow('no-finding', { facts, warnings });
    const findings = accountFindingsOf({
      account,
      rules,
      namespaceLabels: labels,
      namespaceOptedIn: injectionOf(namespace) === 'enabled',
      policy,
      ownerOf: (secret) => tools.view.record(name, secret)?.account,
      now: tools.clock.now(),
    });
    const verdict = policyVerdict(mode, findings, {
      facts,
      hint: accountHint(account),
      mayDeny: (finding) => !old.has(finding.secret) && mayRefuse(finding),
      notes: [],
    });
    return { ...verdict, warnings: [...verdict.warnings, ...warnings] };
  };
}

/** OpenShift's controller answers a refusal with one more Secret, and never ends (openshift-controller-manager#319). */
function mayRefuse({ secret }: Finding): boolean {
  return !isPlatformMade(secret);
}

/** The watch may be a moment behind the label that makes the annotations count. */
async function namespaceOf(
  { view, lookup }: ValidateTools,
  call: Call,
  name: string,
  isNoted: boolean,
): Promise<NamespaceView | undefined> {
  const known = view.namespace(name);
  const isOptedIn = (space: NamespaceView) => injectionOf(space) !== 'off';
  if (known && (isOptedIn(known) || !isNoted)) return known;
  try {
    return (await lookup.namespace(name, call.signal(), isOptedIn)) ?? known;
  } catch (error) {
    if (!isProblem(error)) throw error;
    return known;
  }
}
