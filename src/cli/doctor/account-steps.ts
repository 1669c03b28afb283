// The steps of doctor that look at account and namespace: are they there, did they opt in, is the rule meant for them, and
// do they say all that the exchange needs.
import { annotationsFor, principalsOf } from '../../core/identity-parameters.ts';
import { ruleForHost, ruleSpeaksOf, type RegistryRule } from '../../core/registry-rule.ts';
import { INJECT_LABEL, PROTECTED_NAMESPACES } from '../../core/vocabulary.ts';
import { accountText, failed, known, ok, skipped, warning } from './step.ts';
import type { Check, DoctorTools, Facts, Finding } from './step.ts';

export const accountSteps: readonly Check[] = [
  { step: 'cluster', needs: [], isOffline: true, run: checkCluster },
  { step: 'account', needs: ['cluster'], isOffline: true, run: checkAccount },
  { step: 'namespace', needs: ['cluster'], isOffline: true, run: checkNamespace },
  { step: 'subject', needs: ['host', 'account'], isOffline: true, run: checkSubject },
  { step: 'parameters', needs: ['host', 'account'], isOffline: true, run: checkParameters },
];

async function checkCluster(_facts: Facts, { cluster }: DoctorTools): Promise<Finding> {
  return ok(await cluster.greeting());
}

async function checkAccount(facts: Facts, { cluster }: DoctorTools): Promise<Finding> {
  const { namespace, account } = facts.question;
  const name = accountText(facts.question);
  const reply = await cluster.account(namespace, account);
  if (reply.kind === 'refused') {
    return failed(
      `you may not read ServiceAccount ${name}`,
      `ask for the rights of the ClusterRole view in ${namespace}, or pass --offline --account-file FILE`,
    );
  }
  if (reply.kind === 'missing') {
    return failed(
      `there is no ServiceAccount ${name}`,
      `correct --account, or create it: kubectl create serviceaccount ${account} -n ${namespace}`,
    );
  }
  if (reply.thing.isDeleting)
    return failed(`ServiceAccount ${name} is being deleted`, 'wait, and create it anew');
  facts.account = reply.thing;
  return ok(`ServiceAccount ${name} exists`);
}

async function checkNamespace(facts: Facts, { cluster }: DoctorTools): Promise<Finding> {
  const { namespace: name } = facts.question;
  if (PROTECTED_NAMESPACES.includes(name))
    return failed(
      `namespace ${name} is Kubernetes' own and never touched`,
      'move the pods to another namespace',
    );
  const reply = await cluster.namespace(name);
  if (reply.kind === 'refused') return skipped(`you may not read namespace ${name}`);
  if (reply.kind === 'missing') return failed(`there is no namespace ${name}`, 'correct --account');
  facts.namespace = reply.thing;
  if (reply.thing.isTerminating)
    return failed(`namespace ${name} is being deleted`, 'wait, and create it anew');
  const label = reply.thing.labels[INJECT_LABEL];
  const optIn = `kubectl label namespace ${name} ${INJECT_LABEL}=enabled --overwrite`;
  if (label === 'enabled') return ok(`namespace ${name} has opted in`);
  if (label === 'draining')
    return warning(`namespace ${name} is draining: new pods are given no credentials`, optIn);
  return failed(`namespace ${name} has not opted in: its pods are given no credentials`, optIn);
}

function checkSubject(facts: Facts): Finding {
  const [rule, host, account] = [known(facts, 'rule'), known(facts, 'host'), known(facts, 'account')];
  const { namespace } = facts;
  const who = accountText(facts.question);
  if (!namespace && rule.subjects?.some(({ namespaceSelector }) => namespaceSelector))
    return skipped(`the labels of namespace ${account.namespace} are not known`);
  const labels = namespace?.labels ?? {};
  const isMeant = (one: RegistryRule) => ruleSpeaksOf(one, account.name, labels);
  if (!isMeant(rule)) {
    return failed(
      `rule ${rule.name} is not meant for ${who}`,
      `add the account, or the labels of its namespace, to subjects of rule ${rule.name}`,
    );
  }
  const winner = ruleForHost(known(facts, 'config').rules, host, isMeant);
  if (winner && winner !== rule) {
    return failed(
      `pods of ${who} are given rule ${winner.name} for ${host}: its host is the more exact one`,
      `pass --rule ${winner.name}, or change the hosts or subjects of one of the two`,
    );
  }
  return ok(`rule ${rule.name} is meant for ${who}`);
}

function checkParameters(facts: Facts): Finding {
  const [rule, host, account] = [known(facts, 'rule'), known(facts, 'host'), known(facts, 'account')];
  const { principals, faults } = principalsOf(rule, account, host);
  const [first] = principals;
  if (!first) return failed(faults.join('; '), cureFor(rule, account));
  facts.principals = principals;
  const names = principals.map(({ name }) => name).filter((name) => name !== '');
  const others = Object.entries(first.parameters).filter(([, value]) => !names.includes(value));
  const told = [...names, ...others.map(([key, value]) => `${key}=${value}`)];
  return ok(told.length > 0 ? told.join(', ') : `${rule.exchange.kind} needs no parameters`);
}

/** The command for what is not there; what is there and wrong has its grammar in the fault. */
function cureFor(rule: RegistryRule, account: NonNullable<Facts['account']>): string {
  const absent = Object.entries(rule.family.parameters).filter(
    ([key, { isRequired }]) =>
      isRequired &&
      rule.parameters?.[key]?.from === 'annotation' &&
      !annotationsFor(rule.name, key).some((annotation) => account.annotations[annotation]),
  );
  if (absent.length === 0) return 'correct the annotation of the account, or the rule';
  const pairs = absent.map(([key, { looksLike }]) => `${annotationsFor(rule.name, key)[1]}='${looksLike}'`);
  return `kubectl annotate serviceaccount ${account.name} -n ${account.namespace} ${pairs.join(' ')}`;
}
