// The policy for a workload's template: what its pods will meet, told when somebody applies it, and never a denial.
import { hintFor } from '../core/pull-policy.ts';
import { PROTECTED_NAMESPACES, STATIC_PULL_SECRETS_LABEL } from '../core/vocabulary.ts';
import { viewWorkload } from '../core/workload.ts';
import { policyVerdict } from './policy-verdict.ts';
import { namespaceFor } from './review-subject.ts';
import { accountFor, podFindings, type ValidatePod, type ValidateTools } from './validate-pod.ts';
import { allow } from './verdict.ts';
import type { PodView } from '../core/pod-view.ts';

/** @throws Problem, which never denies: see `verdictForFailure` */
export function createValidateWorkload(tools: ValidateTools): ValidatePod {
  return async (call, request, mode) => {
    const { kind, namespace: name, object } = request;
    if (PROTECTED_NAMESPACES.includes(name)) return allow('protected-namespace');
    const { title, hasController, pod } = viewWorkload(kind, object, name);
    // Whoever reads warnings has read them of the one that made it.
    if (hasController) return allow('has-controller');
    const { rules } = tools.settings();
    const namespace = await namespaceFor(tools, call, name, rules);
    // A template without a list of its own has its pods inherit one; the account may come later in the same manifest.
    const account = await accountFor(tools, call, pod, 'always');
    const asCreated: PodView =
      pod.pullSecrets.length > 0 ? pod : { ...pod, pullSecrets: account.pullSecrets };
    const { findings } = podFindings(tools, asCreated, account, namespace, `the template of ${title}`);
    const isOpen = findings.some(({ exemption }) => !exemption);
    return policyVerdict(mode, findings, {
      facts: { workload: title, serviceAccount: pod.serviceAccount },
      hint: hintFor(pod),
      mayDeny: () => false,
      notes: isOpen ? [hintFor(pod)] : [],
      consequence: `pods of ${title} will be denied: the namespace has ${STATIC_PULL_SECRETS_LABEL}=enforce`,
    });
  };
}
