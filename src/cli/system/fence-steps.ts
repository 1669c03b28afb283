// The fences around our own rights: all there, refusing, bound, about our worker, and with the audiences of the config.
import { fieldsOf } from '../../core/fields.ts';
import { pathTo } from '../../cluster/kube-connection.ts';
import { audiencesOf } from '../doctor/live-cluster.ts';
import { failed, ok, skipped, warning, type Finding } from '../doctor/step.ts';
import { expectedFences, TOKEN_FENCE } from './expected.ts';
import { listIn, someOf, type SystemCheck, type SystemLook } from './step.ts';

export const fenceSteps: readonly SystemCheck[] = [
  { step: 'fences', run: checkFences },
  { step: 'audiences', run: checkAudiences },
];

const GROUP = '/apis/admissionregistration.k8s.io/v1';
const APPLY = 'apply webhook-config/fences.yaml of your installation again';

async function checkFences(look: SystemLook): Promise<Finding> {
  const faults: string[] = [];
  const users = (await look.accounts())
    .filter(({ role }) => role !== 'webhook')
    .map(({ name }) => `'system:serviceaccount:${look.ownNamespace}:${name}'`);
  for (const fence of expectedFences) {
    const policy = await look.get(`${GROUP}${pathTo`/validatingadmissionpolicies/${fence}`}`);
    const binding = await look.get(`${GROUP}${pathTo`/validatingadmissionpolicybindings/${fence}`}`);
    if (policy.kind === 'refused' || binding.kind === 'refused')
      return skipped('you may not read ValidatingAdmissionPolicies and their bindings');
    if (policy.kind === 'missing') faults.push(`${fence} is missing`);
    else faults.push(...faultsOf(fence, policy.thing, users));
    if (binding.kind === 'missing') faults.push(`${fence} is not bound`);
    else if (!isWhole(binding.thing, fence)) faults.push(`${fence} is bound to a part, or without Deny`);
  }
  if (faults.length > 0) return failed(someOf(faults), APPLY);
  return ok(`all ${expectedFences.length} stand, are bound with Deny, and name ${users.join(', ')}`);
}

function faultsOf(fence: string, policy: unknown, users: readonly string[]): string[] {
  const spec = fieldsOf(fieldsOf(policy)['spec']);
  const conditions = JSON.stringify(spec['matchConditions'] ?? []);
  const warnings = listIn(policy, 'status', 'typeChecking', 'expressionWarnings');
  return [
    ...(spec['failurePolicy'] === 'Ignore' ? [`${fence} has failurePolicy Ignore`] : []),
    ...(listIn(policy, 'spec', 'validations').length === 0 ? [`${fence} demands nothing`] : []),
    ...(users.every((user) => conditions.includes(user))
      ? []
      : [`${fence} does not name ${users.join(', ')}`]),
    ...(warnings.length > 0 ? [`${fence} has expressions that this API server warns of`] : []),
  ];
}

function isWhole(binding: unknown, fence: string): boolean {
  const { policyName, validationActions, matchResources, paramRef } = fieldsOf(fieldsOf(binding)['spec']);
  const selectors = fieldsOf(matchResources);
  const isNarrow = ['namespaceSelector', 'objectSelector'].some(
    (key) => Object.keys(fieldsOf(selectors[key])).length > 0,
  );
  const isDenied = Array.isArray(validationActions) && validationActions.includes('Deny');
  const isCut =
    listIn(selectors, 'resourceRules').length + listIn(selectors, 'excludeResourceRules').length > 0;
  return policyName === fence && isDenied && !isNarrow && !isCut && paramRef === undefined;
}

async function checkAudiences({ get, installedConfig }: SystemLook): Promise<Finding> {
  if (!installedConfig) return skipped('the config is not known');
  const reply = await get(`${GROUP}/validatingadmissionpolicies/${TOKEN_FENCE}`);
  if (reply.kind !== 'found') return skipped(`${TOKEN_FENCE} cannot be read`);
  const allowed = audiencesOf(reply.thing);
  const wanted = [
    ...new Set(
      installedConfig.rules.flatMap(({ audience, acceptAudiences }) => [
        audience,
        ...(acceptAudiences ?? []),
      ]),
    ),
  ];
  const missing = wanted.filter((audience) => !allowed.includes(audience));
  const left = allowed.filter((audience) => !wanted.includes(audience));
  const where = `the variable audiences of the ValidatingAdmissionPolicy ${TOKEN_FENCE}`;
  if (missing.length > 0)
    return failed(
      `the fence does not let the worker ask for ${someOf(missing)}`,
      `add ${missing.map((each) => JSON.stringify(each)).join(', ')} to ${where}`,
    );
  if (left.length > 0)
    return warning(
      `the fence lets the worker ask for ${someOf(left)}, which no rule has`,
      `take it out of ${where}`,
    );
  return ok(`the fence and the config have the same ${wanted.length}`);
}
