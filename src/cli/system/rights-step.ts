// The rights of our accounts: all that this version needs, and no more than that.
import { fieldsOf, textOf } from '../../core/fields.ts';
import { INJECT_LABEL } from '../../core/vocabulary.ts';
import { pathTo } from '../../cluster/kube-connection.ts';
import { replyOf } from '../doctor/live-cluster.ts';
import { failed, ok, skipped, type Finding } from '../doctor/step.ts';
import { EVICTION, expectedRightsOf, worstRights, type ExpectedRight } from './expected.ts';
import { listIn, nameOf, someOf, type SystemCheck, type SystemLook } from './step.ts';

export const rightsSteps: readonly SystemCheck[] = [{ step: 'rights', run: checkRights }];

interface Asked {
  readonly group: string;
  readonly resource: string;
  readonly verb: string;
  readonly name?: string | undefined;
}

const RBAC = '/apis/rbac.authorization.k8s.io/v1';
/** So many namespaces are enough to tell that a right is missing. */
const MOST_NAMESPACES = 20;

async function checkRights(look: SystemLook): Promise<Finding> {
  const missing: string[] = [];
  const extra: string[] = [];
  let count = 0;
  for (const account of await look.accounts()) {
    const expected = expectedRightsOf(account);
    const told = await missingOf(look, account.name, expected);
    if (!told)
      return skipped('you may not create SubjectAccessReviews: ask with --as, or a cluster administrator');
    missing.push(...told);
    extra.push(
      ...(await worstOf(look, account.name)),
      ...(await grantedBeyond(look, account.name, expected)),
    );
    count += expected.flatMap(({ verbs, isSpare }) => (isSpare ? [] : verbs)).length;
  }
  const faults = [
    ...(missing.length > 0 ? [`missing: ${someOf([...new Set(missing)])}`] : []),
    ...(extra.length > 0 ? [`more than is needed: ${someOf([...new Set(extra)])}`] : []),
  ];
  if (faults.length > 0) {
    const cures = [
      ...(missing.length > 0
        ? ['apply webhook-config/rbac.yaml again (or per-namespace/namespace in the namespace)']
        : []),
      ...(extra.length > 0
        ? ['take the right out of the role, or the account out of the binding, that is named']
        : []),
    ];
    return failed(faults.join('; '), cures.join('; '));
  }
  return ok(`all ${count} rights, and no other that could be found`);
}

/** Undefined: the user may not ask. */
async function missingOf(
  look: SystemLook,
  account: string,
  expected: readonly ExpectedRight[],
): Promise<string[] | undefined> {
  const missing: string[] = [];
  for (const { verbs, scope, group, resource, name, isSpare } of expected) {
    if (isSpare) continue;
    for (const verb of verbs) {
      const right = { group, resource, verb, name };
      const isAllowed = await mayIt(look, account, right, scope === 'own' ? look.ownNamespace : undefined);
      if (isAllowed === undefined) return undefined;
      if (isAllowed) continue;
      if (scope !== 'optedIn') missing.push(textFor(right));
      else
        for (const namespace of await optedIn(look))
          if (!(await mayIt(look, account, right, namespace)))
            missing.push(`${textFor(right)} in ${namespace}`);
    }
  }
  return missing;
}

async function optedIn({ list }: SystemLook): Promise<readonly string[]> {
  const reply = await list('/api/v1/namespaces', { labelSelector: `${INJECT_LABEL} in (enabled,draining)` });
  return reply.kind === 'found' ? reply.thing.map(nameOf).slice(0, MOST_NAMESPACES) : [];
}

async function mayIt(
  { cluster, ownNamespace }: SystemLook,
  account: string,
  { group, resource: named, verb, name }: Asked,
  namespace: string | undefined,
): Promise<boolean | undefined> {
  const [resource = '', subresource] = named.split('/');
  const groups = ['system:authenticated', 'system:serviceaccounts', `system:serviceaccounts:${ownNamespace}`];
  const user = `system:serviceaccount:${ownNamespace}:${account}`;
  const resourceAttributes = { group, resource, subresource, verb, namespace, name };
  const review = {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SubjectAccessReview',
    spec: { user, groups, resourceAttributes },
  };
  const path = '/apis/authorization.k8s.io/v1/subjectaccessreviews';
  const reply = await replyOf(() => cluster.ask(path, review));
  if (reply.kind !== 'found') return undefined;
  return fieldsOf(fieldsOf(reply.thing)['status'])['allowed'] === true;
}

/** However they came: by a group, or from an authorizer that is not RBAC. */
async function worstOf(look: SystemLook, account: string): Promise<string[]> {
  const found: string[] = [];
  for (const right of worstRights)
    if (await mayIt(look, account, right, undefined)) found.push(`${textFor(right)} in the whole cluster`);
  return found;
}

/** What bindings of the account itself grant beyond the table. Who may not list them is told by the other check alone. */
async function grantedBeyond(
  look: SystemLook,
  account: string,
  expected: readonly ExpectedRight[],
): Promise<string[]> {
  const found: string[] = [];
  const kinds = ['clusterrolebindings', 'rolebindings'];
  for (const kind of kinds) {
    const reply = await look.list(`${RBAC}/${kind}`);
    for (const binding of reply.kind === 'found' ? reply.thing : []) {
      if (!isOurs(binding, account, look.ownNamespace)) continue;
      const namespace = textOf(fieldsOf(fieldsOf(binding)['metadata'])['namespace']);
      for (const right of await grantsOf(look, binding, namespace))
        if (!isExpected(right, expected, namespace, look.ownNamespace))
          found.push(
            `${textFor(right)} by ${kind === 'rolebindings' ? `RoleBinding ${namespace}/` : 'ClusterRoleBinding '}${nameOf(binding)}`,
          );
    }
  }
  return found;
}

function isOurs(binding: unknown, account: string, ownNamespace: string): boolean {
  return listIn(binding, 'subjects')
    .map(fieldsOf)
    .some(
      ({ kind, name, namespace }) =>
        kind === 'ServiceAccount' && name === account && namespace === ownNamespace,
    );
}

async function grantsOf(look: SystemLook, binding: unknown, namespace: string): Promise<Asked[]> {
  const { kind, name } = fieldsOf(fieldsOf(binding)['roleRef']);
  const path =
    kind === 'Role'
      ? `${RBAC}${pathTo`/namespaces/${namespace}/roles/${textOf(name)}`}`
      : `${RBAC}${pathTo`/clusterroles/${textOf(name)}`}`;
  const reply = await look.get(path);
  const rules = reply.kind === 'found' ? listIn(reply.thing, 'rules').map(fieldsOf) : [];
  return rules.flatMap((rule) =>
    listIn(rule, 'apiGroups').flatMap((group) =>
      listIn(rule, 'resources').flatMap((resource) =>
        listIn(rule, 'verbs').flatMap((verb) =>
          (Array.isArray(rule['resourceNames']) ? rule['resourceNames'] : [undefined]).map(
            (each: unknown) => ({
              group: textOf(group),
              resource: textOf(resource),
              verb: textOf(verb),
              name: each === undefined ? undefined : textOf(each),
            }),
          ),
        ),
      ),
    ),
  );
}

function isExpected(
  right: Asked,
  expected: readonly ExpectedRight[],
  namespace: string,
  ownNamespace: string,
): boolean {
  return [...expected, EVICTION].some(
    ({ group, resource, verbs, name, scope }) =>
      group === right.group &&
      resource === right.resource &&
      verbs.includes(right.verb) &&
      (name === undefined || name === right.name) &&
      (scope !== 'own' || namespace === ownNamespace),
  );
}

function textFor({ verb, resource, name }: Asked): string {
  return `${verb} ${resource}${name === undefined ? '' : ` ${name}`}`;
}
