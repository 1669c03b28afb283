// The steps of doctor about the cluster's issuer: what it is called, and whether those who must can read its keys.
import { fieldsOf, listOf, textOf } from '../../core/fields.ts';
import { trustOf, type FamilyTrust } from './family-trust.ts';
import { isAddress, looksPrivate, seePublicly } from './public-document.ts';
import { issueToken } from './token-steps.ts';
import { failed, known, ok, skipped, warning } from './step.ts';
import type { Check, DoctorTools, Facts, Finding } from './step.ts';

export const issuerSteps: readonly Check[] = [
  { step: 'issuer', needs: ['cluster'], run: checkIssuer },
  { step: 'issuer-address', needs: ['issuer', 'host'], run: checkAddress },
  { step: 'issuer-reachable', needs: ['issuer', 'host'], run: checkReachable },
  { step: 'issuer-document', needs: ['issuer', 'host'], run: checkDocument },
];

export const keysSteps: readonly Check[] = [
  { step: 'issuer-keys', needs: ['issuer-document', 'token'], run: checkKeys },
];

/** The API server's own document first; who may not read it asks a token, which says the same. */
async function checkIssuer(facts: Facts, tools: DoctorTools): Promise<Finding> {
  const reply = await tools.cluster.discovery();
  if (reply.kind === 'missing') {
    return failed(
      'the API server serves no discovery document: its issuer is no https URL',
      'start it with --service-account-issuer=https://…; the issuer of before may stay as a second one',
    );
  }
  let issuer = '';
  if (reply.kind === 'found') {
    facts.discovery = reply.thing;
    issuer = textOf(fieldsOf(reply.thing)['issuer']);
  } else if (facts.account && facts.principals) {
    const token = await issueToken(facts, tools);
    if (token.kind === 'found') issuer = textOf(token.thing.claims['iss']);
  }
  if (issuer === '') {
    return failed(
      'you may not read the discovery document of the API server',
      'bind the ClusterRole system:service-account-issuer-discovery to yourself',
    );
  }
  if (!isAddress(issuer)) {
    return failed(
      `the issuer ${JSON.stringify(issuer.slice(0, 200))} is no https URL: nobody can fetch its keys`,
      'start the API server with --service-account-issuer=https://…',
    );
  }
  facts.issuer = issuer;
  return ok(issuer);
}

function checkAddress(facts: Facts): Finding {
  const { host } = new URL(known(facts, 'issuer'));
  const { who, reach } = ourTrust(facts);
  if (!looksPrivate(host)) return ok(`${host} looks public`);
  switch (reach) {
    case 'yours':
      return ok(`${host} looks private: enough if ${who} reaches it`);
    case 'upload':
      return warning(`${host} looks private: ${who} cannot fetch the keys`, uploadCure(who));
    case 'internet':
      return failed(
        `${host} looks private, and ${who} fetches the keys over the internet, with no other way in`,
        'start the API server with --service-account-issuer=https://… of a public name that serves discovery and keys, as static files or by a proxy',
      );
  }
}

async function checkReachable(facts: Facts, tools: DoctorTools): Promise<Finding> {
  const issuer = known(facts, 'issuer');
  const url = new URL(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`);
  const seen = await seePublicly(url, tools);
  facts.isIssuerPublic = seen.kind === 'document';
  if (seen.kind === 'document') {
    facts.discovery = seen.document;
    return ok(`${url.host} answers without credentials`);
  }
  if (seen.kind === 'refused') {
    return hindered(
      facts,
      `${url.host} answers ${seen.status} to anybody without credentials`,
      ANONYMOUS_CURE,
    );
  }
  return hindered(
    facts,
    `${url.host} ${seen.why}`,
    'open the way to it, or ask again from where the registry stands',
  );
}

function checkDocument(facts: Facts): Finding {
  const issuer = known(facts, 'issuer');
  const { issuer: named, jwks_uri: keys } = fieldsOf(facts.discovery);
  if (facts.discovery === undefined) return skipped('nobody has shown a discovery document');
  if (named !== issuer) {
    const isSlash = textOf(named).replace(/\/$/, '') === issuer.replace(/\/$/, '');
    const why = isSlash ? ': they differ by a slash at the end, and clouds compare byte for byte' : '';
    return failed(
      `the document at the issuer's address names ${JSON.stringify(textOf(named).slice(0, 200))}, and tokens ${JSON.stringify(issuer)}${why}`,
      'write the same --service-account-issuer everywhere, byte for byte: API server, discovery document, and the trust at the registry',
    );
  }
  const text = textOf(keys);
  if (!isAddress(text))
    return failed('jwks_uri of the document is no https URL', 'set --service-account-jwks-uri=https://…');
  facts.keysUrl = text;
  const { host } = new URL(text);
  if (looksPrivate(host) && !looksPrivate(new URL(issuer).host)) {
    return hindered(
      facts,
      `jwks_uri leads to ${host}, which looks private`,
      `set --service-account-jwks-uri=${issuer.replace(/\/$/, '')}/openid/v1/jwks`,
    );
  }
  return ok(`issuer equal byte for byte, keys at ${text}`);
}

async function checkKeys(facts: Facts, tools: DoctorTools): Promise<Finding> {
  if (!facts.isIssuerPublic) return skipped("the issuer's address does not answer here");
  const url = new URL(known(facts, 'keysUrl'));
  const seen = await seePublicly(url, tools);
  if (seen.kind === 'refused')
    return hindered(facts, `${url.host} refuses the keys with ${seen.status}`, ANONYMOUS_CURE);
  if (seen.kind === 'unreachable')
    return hindered(facts, `${url.host} ${seen.why}`, 'serve the keys where jwks_uri says');
  const { keys } = fieldsOf(seen.document);
  const ids = listOf(keys).map(({ kid }) => textOf(kid));
  const { keyId } = known(facts, 'token');
  if (ids.includes(keyId)) return ok(`${keyId}, which signs tokens now, is among ${ids.length}`);
  return failed(
    `${keyId || 'a key without a name'}, which signs tokens now, is not among the ${ids.length} keys at ${url.href}`,
    'publish the keys of every API server: after a rotation copy them again to where jwks_uri leads, and upload them anew where they were uploaded',
  );
}

function ourTrust(facts: Facts): FamilyTrust {
  return trustOf(known(facts, 'rule').exchange.kind, known(facts, 'host'));
}

/** Fatal where the keys come that way and no other. */
function hindered(facts: Facts, found: string, cure: string): Finding {
  const { who, reach } = ourTrust(facts);
  if (reach === 'internet') return failed(`${found}: ${who} cannot fetch the keys`, cure);
  if (reach === 'upload') return warning(found, `${cure}; or ${uploadCure(who)}`);
  return warning(
    found,
    `${cure}; or see to it that ${who} reads the keys in another way (issuers of a token server take a bearerFile)`,
  );
}

const ANONYMOUS_CURE =
  'bind ClusterRole system:service-account-issuer-discovery to system:unauthenticated, or upload the keys where the provider allows it (Google, Chainguard; not AWS, Entra, Quay, JFrog)';

function uploadCure(who: string): string {
  return `upload the keys to ${who}: kubectl get --raw /openid/v1/jwks > keys.json`;
}
