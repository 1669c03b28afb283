// One pod's story as findings, in the order in which things happen: opted in, admitted, credentials, gate, pull.
import { hostOfImage } from '../../core/image-reference.ts';
import { isGated, injectionOf } from '../../core/pod-view.ts';
import { planPulls } from '../../core/pull-plan.ts';
import { INJECT_LABEL, GATE, PROTECTED_NAMESPACES } from '../../core/vocabulary.ts';
import { failed, ok, skipped, warning, type Finding } from '../doctor/step.ts';
import { spanText } from '../printable.ts';
import { workerText } from '../status/table.ts';
import { containerChapters } from './containers.ts';
import { cureForRecord, workerCure } from './cures.ts';
import { annotatedRules, type PodFacts } from './facts.ts';

export interface Chapter extends Finding {
  readonly about:
    | 'namespace'
    | 'account'
    | 'admission'
    | 'image'
    | 'credential'
    | 'worker'
    | 'gate'
    | 'container';
}

export function storyOf(facts: PodFacts): Chapter[] {
  return [
    { about: 'namespace', ...namespaceFinding(facts) },
    { about: 'account', ...accountFinding(facts) },
    ...admissionFindings(facts).map((finding): Chapter => ({ about: 'admission', ...finding })),
    ...facts.secrets.map((secret): Chapter => ({ about: 'credential', ...credentialFinding(secret, facts) })),
    { about: 'worker', ...workerFinding(facts) },
    { about: 'gate', ...gateFinding(facts) },
    ...containerChapters(facts),
  ];
}

function namespaceFinding({ pod, namespace, notSeen }: PodFacts): Finding {
  const { namespace: name } = pod;
  if (PROTECTED_NAMESPACES.includes(name))
    return failed(`${name} is Kubernetes' own and never touched`, 'move the pod to another namespace');
  if (!namespace)
    return skipped(notSeen.includes('the namespace') ? `you may not read ${name}` : `${name} is gone`);
  const optIn = `kubectl label namespace ${name} ${INJECT_LABEL}=enabled --overwrite`;
  if (namespace.isTerminating)
    return warning(`${name} is being deleted`, 'move the pod to another namespace');
  switch (injectionOf(namespace)) {
    case 'enabled':
      return ok(`${name} has opted in`);
    case 'draining':
      return warning(`${name} is draining: new pods are given no credentials`, optIn);
    case 'off':
      return failed(`${name} has not opted in: its pods are given no credentials`, optIn);
  }
}

function accountFinding({ pod, account, notSeen }: PodFacts): Finding {
  const name = `${pod.namespace}/${pod.serviceAccount}`;
  if (notSeen.includes('the ServiceAccount')) return skipped(`you may not read ${name}`);
  const cure = `kubectl create serviceaccount ${pod.serviceAccount} -n ${pod.namespace}`;
  if (!account) return failed(`${name} does not exist`, cure);
  return account.isDeleting ? failed(`${name} is being deleted`, cure) : ok(name);
}

function admissionFindings(facts: PodFacts): Finding[] {
  const { pod, namespace, secrets, config, account } = facts;
  const anew = `kubectl delete pod ${pod.name} -n ${pod.namespace}: its controller makes another, which is given what is missing`;
  const told = annotatedRules(pod).map(({ rule, secret }) =>
    secret === 'kubelet' ? `rule ${rule}, by the node itself` : `rule ${rule}, Secret ${secret}`,
  );
  if (pod.labels[INJECT_LABEL] === 'disabled')
    return [
      warning(
        `the label ${INJECT_LABEL}=disabled opts this pod out`,
        'remove that label, and delete the pod so that it is made anew',
      ),
    ];
  const carries = told.length > 0 || secrets.length > 0;
  const findings: Finding[] = carries ? [ok(`given ${told.join('; ') || secrets.join(', ')}`)] : [];
  if (!config) {
    if (!carries)
      findings.push(
        warning(
          'given nothing: no rule speaks of its registries, or the webhook was not asked',
          'pass --config FILE to see which; a pod from before the opt-in has to be made anew',
        ),
      );
    return findings;
  }
  const subject = account ?? {
    namespace: pod.namespace,
    name: pod.serviceAccount,
    uid: '',
    annotations: {},
    pullSecrets: [],
    isDeleting: false,
  };
  const settings = { rules: config.rules, needsPerPod: config.worker.needsPerPod };
  const plan = planPulls(pod, subject, namespace?.labels ?? {}, settings);
  for (const { reason, message } of plan.leftOut) {
    if (reason === 'no-rule')
      findings.push(
        warning(message, 'a public image needs none; for a private one add a rule to the config'),
      );
    else
      findings.push(
        failed(message, 'mend what the sentence names, and delete the pod so that it is made anew'),
      );
  }
  const lacking = plan.needs.filter(({ need }) => !pod.pullSecrets.includes(need.secretName));
  for (const { need } of lacking)
    findings.push(
      failed(`the config has rule ${need.rule} for ${need.host} by now, and the pod was not given it`, anew),
    );
  return findings.length > 0 ? findings : [ok('it needs no credential of ours')];
}

function credentialFinding(secret: string, facts: PodFacts): Finding {
  const { records, account, now, notSeen, pod } = facts;
  const record = records.get(secret);
  if (!record) {
    if (notSeen.includes('PullCredentials')) return skipped(`you may not read PullCredential ${secret}`);
    const found = `${hostsLike(secret, facts)} has no PullCredential ${secret}`;
    const isDead = facts.worker.state === 'absent' || facts.worker.state === 'silent';
    const look = `wait a few seconds; if it stays so, read kubectl get events -n ${pod.namespace}, and the worker's log`;
    return failed(found, isDead ? workerCure() : look);
  }
  const { host, rule, status } = record;
  const about = `${host}, rule ${rule}`;
  if (account && record.accountUid !== account.uid)
    return failed(
      `${about}: is of an earlier ServiceAccount ${record.account}`,
      `kubectl delete pullcred ${record.name} -n ${record.namespace}: a new one is made`,
    );
  if (!status) return failed(`${about}: is being issued`, cureForRecord(record, 'pending', facts));
  const isOver = status.expiresAt <= now;
  if (!status.isReady || isOver) {
    const reason = status.reason === 'issued' ? 'credential-expired' : status.reason;
    const why = status.message && status.reason !== 'issued' ? `: ${status.message}` : '';
    return failed(`${about}: ${reason}${why}`, cureForRecord(record, reason, facts));
  }
  const life = `good for ${spanText(status.expiresAt - now)}`;
  if (status.reason !== 'issued')
    return warning(
      `${about}: ${life}, but not renewed (${status.reason}): ${status.message}`,
      cureForRecord(record, status.reason, facts),
    );
  return ok(`${about}: ${life}, renewed in ${spanText(status.refreshAt - now)}`);
}

/** Without a record only the rule's name is known; the images name the hosts. */
function hostsLike(secret: string, { pod }: PodFacts): string {
  const rule = annotatedRules(pod).find((one) => one.secret === secret)?.rule;
  if (rule !== undefined) return `rule ${rule}`;
  return [...new Set(pod.images.flatMap(({ image }) => hostOfImage(image) ?? []))].join(', ') || 'the pod';
}

function workerFinding({ worker }: PodFacts): Finding {
  const found = workerText(worker).replace(/^worker: /, '');
  if (worker.state === 'alive') return ok(found);
  return worker.state === 'unknown' ? skipped('you may not read its Lease') : warning(found, workerCure());
}

function gateFinding(facts: PodFacts): Finding {
  const { pod, now, worker } = facts;
  const others = pod.gates.filter((gate) => gate !== GATE);
  if (isGated(pod)) {
    const isDead = worker.state === 'absent' || worker.state === 'silent';
    const byHand = `keyless-pull release pod ${pod.name} -n ${pod.namespace} lets it go without`;
    return failed(
      `held for ${spanText(now - pod.createdAt)} until its credentials exist`,
      isDead ? workerCure() : `mend what failed above, or wait for its end; ${byHand}`,
    );
  }
  if (others.length > 0)
    return failed(`held by gates of others: ${others.join(', ')}`, 'ask whoever sets these gates');
  return ok('not held');
}
