// The steps of doctor about the token: is its audience a good one, may it be had, and does it say what the registry expects.
import { audienceFault } from '../../token-server/trusted-issuer.ts';
import { needFor } from '../../core/pull-plan.ts';
import { textOf } from '../../core/fields.ts';
import type { Need } from '../../core/pull-credential.ts';
import { limitsOf } from './family-trust.ts';
import { accountText, failed, known, ok, skipped, warning } from './step.ts';
import type { Check, DoctorTools, Facts, Finding } from './step.ts';
import type { IssuedToken, Refused, Reply } from './doctor-cluster.ts';

export const tokenSteps: readonly Check[] = [
  { step: 'audience', needs: ['rule'], run: checkAudience },
  { step: 'fence', needs: ['rule', 'cluster'], run: checkFence },
  { step: 'token', needs: ['parameters'], run: checkToken },
  { step: 'claims', needs: ['token'], run: checkClaims },
];

export const limitsSteps: readonly Check[] = [
  { step: 'registry-limits', needs: ['claims'], run: checkLimits },
];

/** The one that all principals of the account have; of an account that is not known, the rule's. */
function audienceOf(facts: Facts): string {
  return facts.principals?.[0]?.audience ?? known(facts, 'rule').audience;
}

export function needOf(facts: Facts, at = 0): Need {
  const { namespace, name, uid } = known(facts, 'account');
  const principal = known(facts, 'principals')[at];
  if (!principal) throw new TypeError('there is no such principal');
  return needFor({ namespace, account: name, uid }, known(facts, 'rule'), known(facts, 'host'), principal);
}

/** A new token, which is no secret to anybody who may ask for one; remembered, so that one run asks for one. */
export async function issueToken(facts: Facts, { cluster }: DoctorTools): Promise<Reply<IssuedToken>> {
  if (facts.token) return { kind: 'found', thing: facts.token };
  const reply = await cluster.token(known(facts, 'account'), audienceOf(facts));
  if (reply.kind === 'found') facts.token = reply.thing;
  return reply;
}

const AMBIENT_AWS = /^sts\.amazonaws\.com(?:\.cn)?$/;
const AMBIENT_ENTRA = /^api:\/\/AzureADTokenExchange/i;

function checkAudience(facts: Facts): Finding {
  const audience = audienceOf(facts);
  const dedicated = 'name one of your own, such as keyless-pull.team.example, in the rule, in the fence';
  if (audienceFault(facts.issuer, audience) !== undefined) {
    return failed(
      `${audience} is the API server's own: the registry could use the token against the cluster`,
      `${dedicated}, and where the registry checks it`,
    );
  }
  if (AMBIENT_AWS.test(audience)) {
    return warning(
      `${audience} is also the audience of the tokens that EKS puts into pods for AWS: whoever reads one there can pull as the account, and a pull token opens the account's other roles`,
      `${dedicated}, as client id of the IAM OIDC provider, and in the role's trust policy`,
    );
  }
  if (AMBIENT_ENTRA.test(audience)) {
    return warning(
      `${audience} is also the audience of the tokens that Azure workload identity puts into pods: whoever reads one there can pull as the account, and a pull token opens the account's other identities`,
      `${dedicated}, and as the audience of the federated credential`,
    );
  }
  return ok(`${audience} is for this registry alone`);
}

async function checkFence(facts: Facts, { cluster }: DoctorTools): Promise<Finding> {
  const audience = audienceOf(facts);
  const reply = await cluster.fenceAudiences();
  if (reply.kind === 'refused') return skipped('you may not read ValidatingAdmissionPolicies');
  if (reply.kind === 'missing') {
    const found = "the fence on the worker's tokens, keyless-pull-worker-token-requests, is not there";
    const cure = 'kubectl apply -k webhook-config';
    return known(facts, 'config').fences === 'required' ? failed(found, cure) : warning(found, cure);
  }
  if (reply.thing.includes(audience)) return ok(`the fence lets the worker ask for ${audience}`);
  return unlisted(audience);
}

function unlisted(audience: string): Finding {
  return failed(
    `the fence does not let the worker ask for tokens for ${audience}`,
    `add ${JSON.stringify(audience)} to the variable audiences of the ValidatingAdmissionPolicy keyless-pull-worker-token-requests`,
  );
}

async function checkToken(facts: Facts, tools: DoctorTools): Promise<Finding> {
  const who = accountText(facts.question);
  const audience = audienceOf(facts);
  const reply = await issueToken(facts, tools);
  switch (reply.kind) {
    case 'found':
      return ok(`the API server issues a token of ${who} for ${audience}`);
    case 'missing':
      return failed(`ServiceAccount ${who} is gone`, 'create it anew');
    case 'refused':
      return refusedToken(reply, facts, audience);
  }
}

function refusedToken({ policy, demand }: Refused, facts: Facts, audience: string): Finding {
  const { namespace, account } = facts.question;
  const who = accountText(facts.question);
  if (demand === 'audience') return unlisted(audience);
  if (demand === 'binding') {
    // What the worker may not do even with everything in order: its tokens are bound to a Secret, and doctor makes none.
    return skipped(
      `the fence lets the worker ask for ${audience}, bound to a Secret alone: run doctor as yourself for the rest`,
    );
  }
  if (policy !== undefined)
    return failed(
      `the policy ${policy} refuses tokens of ${who}`,
      `read kubectl describe validatingadmissionpolicy ${policy}`,
    );
  return failed(
    `you may not ask for tokens of ServiceAccount ${who}`,
    `kubectl create role ask-for-tokens -n ${namespace} --verb=create --resource=serviceaccounts/token --resource-name=${account}, and bind it to yourself`,
  );
}

function checkClaims(facts: Facts): Finding {
  const { claims } = known(facts, 'token');
  const { namespace, account } = facts.question;
  const wanted = {
    iss: facts.issuer ?? textOf(claims['iss']),
    sub: `system:serviceaccount:${namespace}:${account}`,
    aud: audienceOf(facts),
  };
  const said = { iss: claims['iss'], sub: claims['sub'], aud: oneOf(claims['aud']) };
  const wrong = (['iss', 'sub', 'aud'] as const).filter((name) => said[name] !== wanted[name]);
  if (wrong.length === 0) return ok(`iss ${wanted.iss}, sub ${wanted.sub}, aud ${wanted.aud}`);
  return failed(
    wrong.map((name) => `${name} is ${JSON.stringify(said[name])}, and not ${wanted[name]}`).join('; '),
    'name what the token says in the trust at the registry, byte for byte, or correct --service-account-issuer',
  );
}

/** A list of one is that one. */
function oneOf(audiences: unknown): unknown {
  return Array.isArray(audiences) && audiences.length === 1 ? audiences[0] : audiences;
}

function checkLimits(facts: Facts): Finding {
  const { claims, algorithm } = known(facts, 'token');
  return limitsOf({
    kind: known(facts, 'rule').exchange.kind,
    need: needOf(facts),
    issuer: textOf(claims['iss']),
    subject: textOf(claims['sub']),
    audience: audienceOf(facts),
    algorithm,
  });
}
