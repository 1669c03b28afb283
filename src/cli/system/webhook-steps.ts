// Our webhook configurations, the certificate behind them, and other webhooks that may undo what ours does.
import { fieldsOf, textOf } from '../../core/fields.ts';
import { failed, ok, skipped, warning, type Finding } from '../doctor/step.ts';
import { expectedWebhooks } from './expected.ts';
import { authoritiesIn, leafOf, signedBy } from './serving-certificate.ts';
import { listIn, nameOf, someOf, type SystemCheck, type SystemLook } from './step.ts';

export const webhookSteps: readonly SystemCheck[] = [
  { step: 'webhooks', run: checkWebhooks },
  { step: 'ca-bundle', run: checkCaBundle },
  { step: 'other-webhooks', run: checkOthers },
];

const GROUP = '/apis/admissionregistration.k8s.io/v1';
const APPLY = 'apply webhook-config/webhooks.yaml of your installation again';
const OURS = 'keyless-pull';

async function checkWebhooks({ get }: SystemLook): Promise<Finding> {
  const faults: string[] = [];
  const open: string[] = [];
  for (const [kind, wanted] of Object.entries(expectedWebhooks)) {
    const reply = await get(`${GROUP}/${kind}webhookconfigurations/${OURS}`);
    if (reply.kind === 'refused') return skipped(`you may not read ${kind} webhook configurations`);
    const hooks = reply.kind === 'found' ? listIn(reply.thing, 'webhooks').map(fieldsOf) : [];
    for (const [name, policy] of Object.entries(wanted)) {
      const hook = hooks.find((each) => each['name'] === name);
      if (!hook) faults.push(`${name} is not registered`);
      else if (hook['failurePolicy'] !== policy)
        open.push(`${name} has failurePolicy ${textOf(hook['failurePolicy'])}`);
      if (hook && !JSON.stringify(hook['namespaceSelector'] ?? {}).includes('kube-system'))
        faults.push(`${name} does not leave out kube-system`);
    }
  }
  if (faults.length > 0) return failed(faults.join('; '), APPLY);
  if (open.length > 0)
    return warning(
      `${open.join('; ')}: while no replica answers, pods are admitted without their references, and never pull`,
      APPLY,
    );
  return ok('both configurations stand, and fail closed where they should');
}

/** A leaf is renewed long before: below this nobody does it. */
const FEW_DAYS = 3;
const DAY_MS = 86_400_000;

async function checkCaBundle(look: SystemLook): Promise<Finding> {
  const reply = await look.get(`${GROUP}/mutatingwebhookconfigurations/${OURS}`);
  const other = await look.get(`${GROUP}/validatingwebhookconfigurations/${OURS}`);
  if (reply.kind !== 'found' || other.kind !== 'found')
    return skipped('a webhook configuration cannot be read');
  const hooks = [reply.thing, other.thing].flatMap((each) => listIn(each, 'webhooks').map(fieldsOf));
  const bundles = new Map(
    hooks.map((hook) => [textOf(hook['name']), textOf(fieldsOf(hook['clientConfig'])['caBundle'])]),
  );
  const cure =
    'a working worker mends it by itself, cert-manager by its annotation; else put the authority of the serving certificate there';
  const empty = [...bundles].filter(([, bundle]) => authoritiesIn(bundle).length === 0).map(([name]) => name);
  if (empty.length > 0) return failed(`${someOf(empty)}: caBundle holds no certificate`, cure);
  const leaf = await leafOf(look, hooks[0]?.['clientConfig']);
  if (leaf === undefined)
    return skipped(
      'the served certificate cannot be seen by you: dry-run shows whether the API server accepts it',
    );
  const unsigned = [...bundles].filter(([, bundle]) => !signedBy(leaf.certificate, authoritiesIn(bundle)));
  if (unsigned.length > 0)
    return failed(
      `${someOf(unsigned.map(([name]) => name))}: caBundle does not fit the served certificate`,
      cure,
    );
  if (leaf.host !== '' && leaf.certificate.checkHost(leaf.host) === undefined)
    return failed(`the served certificate is not for ${leaf.host}`, 'issue it for that name');
  const days = Math.floor((leaf.certificate.validToDate.getTime() - look.clock.now()) / DAY_MS);
  const told = `the served certificate fits caBundle and ends ${leaf.certificate.validToDate.toISOString().slice(0, 10)}`;
  if (days < 0)
    return failed('the served certificate has expired', 'renew it; replicas load it by themselves');
  if (days < FEW_DAYS) return warning(`${told}, in ${days} days`, 'find out why nobody has renewed it');
  return ok(`${told}, in ${days} days`);
}

/** Tools that write images or imagePullSecrets of pods, by names that they are known to register under. */
const REWRITERS =
  /image-?swap|imageswapper|k8s-image-swapper|imagepullsecret|pull-?secret|registry-creds|harbor-container-webhook|imps|kyverno-resource-mutating|gatekeeper-mutating|repull|kube-image-keeper/i;

/**
 * By rules and names alone: what such a webhook does nobody can see. Ours is asked again when a later one has changed a pod,
 * so that a new image is no harm; a list of pull secrets that is written anew is.
 */
async function checkOthers({ list }: SystemLook): Promise<Finding> {
  const reply = await list(`${GROUP}/mutatingwebhookconfigurations`);
  if (reply.kind !== 'found') return skipped('you may not list mutating webhook configurations');
  const others = reply.thing.filter(
    (each) => nameOf(each) !== OURS && listIn(each, 'webhooks').some(isAskedAboutPods),
  );
  const suspects = others.filter((each) =>
    [nameOf(each), ...listIn(each, 'webhooks').map((hook) => textOf(fieldsOf(hook)['name']))].some((name) =>
      REWRITERS.test(name),
    ),
  );
  if (suspects.length > 0)
    return warning(
      `by their names these may rewrite images or imagePullSecrets of pods: ${someOf(suspects.map(nameOf))}`,
      'dry-run shows whether the reference survives; exclude namespaces that opted in there, or the field imagePullSecrets',
    );
  if (others.length > 0)
    return ok(`${others.length} others are asked about pods, none known to rewrite images or pull secrets`);
  return ok('no other mutating webhook is asked about pods');
}

function isAskedAboutPods(hook: unknown): boolean {
  return listIn(hook, 'rules').some((rule) => {
    const has = (key: string, ...wanted: string[]) =>
      listIn(rule, key).some((value) => value === '*' || wanted.includes(textOf(value)));
    return has('apiGroups', '') && has('resources', 'pods', '*/*') && has('operations', 'CREATE');
  });
}
