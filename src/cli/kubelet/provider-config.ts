// CredentialProviderConfig as the kubelet reads it: strictly, with the same checks (pkg/credentialprovider/plugin/config.go),
// each of which keeps a kubelet from starting.
import { parse } from 'yaml';
import * as z from 'zod';
import { faultSentence } from '../../fault-sentence.ts';
import { Problem } from '../../problem.ts';
import { isParseable } from './image-pattern.ts';

export const PROVIDER_API = 'credentialprovider.kubelet.k8s.io/v1';
const GROUP = 'kubelet.config.k8s.io/';
const VERSIONS = ['v1', 'v1beta1', 'v1alpha1'];
/** Go's time.ParseDuration. */
const DURATION = /^[+-]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|ms|s|m|h))+)$/;
/** Qualified names, compared without regard to case. */
const ANNOTATION_KEY =
  /^(?:(?=[^/]{1,253}\/)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*\/)?(?=.{1,63}$)[a-z0-9](?:[\w.-]*[a-z0-9])?$/i;

const AnnotationKeys = z
  .array(z.string().regex(ANNOTATION_KEY, 'is no annotation key'))
  .refine((keys) => new Set(keys).size === keys.length, 'lists a key twice');

const TokenAttributes = z
  .strictObject({
    serviceAccountTokenAudience: z.string().min(1),
    cacheType: z.enum(['Token', 'ServiceAccount']).optional(),
    requireServiceAccount: z.boolean(),
    requiredServiceAccountAnnotationKeys: AnnotationKeys.optional(),
    optionalServiceAccountAnnotationKeys: AnnotationKeys.optional(),
  })
  .refine(
    ({ requireServiceAccount, requiredServiceAccountAnnotationKeys: keys = [] }) =>
      requireServiceAccount || keys.length === 0,
    'requireServiceAccount must be true where annotation keys are required',
  )
  .refine(
    ({ requiredServiceAccountAnnotationKeys: one = [], optionalServiceAccountAnnotationKeys: two = [] }) =>
      !one.some((key) => two.includes(key)),
    'an annotation key is required and optional at once',
  );

const Provider = z
  .strictObject({
    name: z
      .string()
      .min(1)
      .refine(
        (name) => !/[/\s]/.test(name) && name !== '.' && name !== '..',
        'is the name of a file in the folder of providers: no "/", no space, not "." and not ".."',
      ),
    matchImages: z
      .array(z.string().refine(isParseable, 'cannot be read as the beginning of an image name'))
      .min(1),
    defaultCacheDuration: z
      .string()
      .regex(DURATION, 'is a Go duration, as 5m or 0s')
      .refine((text) => !text.startsWith('-'), 'must not be negative'),
    apiVersion: z.enum(VERSIONS.map((version) => `credentialprovider.kubelet.k8s.io/${version}`)),
    args: z.array(z.string()).nullish(),
    env: z.array(z.strictObject({ name: z.string(), value: z.string() })).nullish(),
    tokenAttributes: TokenAttributes.optional(),
  })
  .refine(
    ({ apiVersion, tokenAttributes }) => !tokenAttributes || apiVersion === PROVIDER_API,
    `tokenAttributes go with apiVersion ${PROVIDER_API} alone`,
  );

const ProviderConfig = z.strictObject({
  apiVersion: z.enum(VERSIONS.map((version) => GROUP + version)),
  kind: z.literal('CredentialProviderConfig'),
  providers: z.array(Provider).min(1),
});

export type Provider = z.output<typeof Provider>;
export type ProviderConfig = z.output<typeof ProviderConfig>;

/** @throws Problem config-invalid with every fault */
export function parseProviderConfig(text: string, source: string): ProviderConfig {
  const result = ProviderConfig.safeParse(dataOf(text, source), { error: faultSentence });
  if (result.success) return result.data;
  throw invalid(
    source,
    result.error.issues.map((issue) => {
      const where = issue.path.map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`));
      const what =
        issue.code === 'unrecognized_keys' ? `${issue.keys.join(', ')} is not a known key` : issue.message;
      return `${where.join('').replace(/^\./, '')}: ${what}`.replace(/^: /, '');
    }),
  );
}

/** What only the whole can tell, over all files of a folder. `hasCacheType`: kubelets from 1.34 on. */
export function faultsTogether(providers: readonly Provider[], hasCacheType: boolean): string[] {
  return providers.flatMap(({ name, tokenAttributes }, at) => {
    const faults: string[] = [];
    if (providers.slice(0, at).some((other) => other.name === name))
      faults.push(`provider ${name}: another provider has the same name`);
    if (tokenAttributes && hasCacheType && tokenAttributes.cacheType === undefined)
      faults.push(`provider ${name}: tokenAttributes.cacheType is required from 1.34 on`);
    if (tokenAttributes && !hasCacheType && tokenAttributes.cacheType !== undefined)
      faults.push(`provider ${name}: a kubelet of 1.33 does not know tokenAttributes.cacheType`);
    return faults;
  });
}

export function invalid(source: string, faults: readonly string[]): Problem {
  const count = faults.length === 1 ? 'one fault' : `${faults.length} faults`;
  return new Problem('config-invalid', `${source} has ${count}`, { details: { faults } });
}

function dataOf(text: string, source: string): unknown {
  try {
    return parse(text, { prettyErrors: false, logLevel: 'error' });
  } catch {
    throw invalid(source, ['this is no YAML and no JSON, or a key stands there twice']);
  }
}
