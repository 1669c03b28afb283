// Amazon's partitions: which regions they have, and what their hosts are called. After botocore data/partitions.json and
// endpoints.json, and awslabs/amazon-ecr-credential-helper ecr-login/api.
import type { HostParts } from '../core/registry-family.ts';

interface Partition {
  readonly name: string;
  readonly regions: RegExp;
  /** Of API hosts and of registries. */
  readonly suffix: string;
  /** Of registries that are reached over IPv6 too; their API is the classic one, which answers the same. */
  readonly dualStackSuffix?: string;
  /** Where the regions have an `sts-fips`; elsewhere the plain name has to do, and in us-gov it is FIPS already. */
  readonly hasFipsSts?: boolean;
}

/** The more special region names come first. */
const partitions: readonly Partition[] = [
  { name: 'aws-us-gov', regions: /^us-gov-/, suffix: 'amazonaws.com', dualStackSuffix: 'on.aws' },
  { name: 'aws-iso', regions: /^us-iso-/, suffix: 'c2s.ic.gov' },
  { name: 'aws-iso-b', regions: /^us-isob-/, suffix: 'sc2s.sgov.gov' },
  { name: 'aws-iso-e', regions: /^eu-isoe-/, suffix: 'cloud.adc-e.uk' },
  { name: 'aws-iso-f', regions: /^us-isof-/, suffix: 'csp.hci.ic.gov' },
  { name: 'aws-eusc', regions: /^eusc-de-/, suffix: 'amazonaws.eu' },
  {
    name: 'aws-cn',
    regions: /^cn-/,
    suffix: 'amazonaws.com.cn',
    dualStackSuffix: 'on.amazonwebservices.com.cn',
  },
  {
    name: 'aws',
    regions: /^(?:us|eu|ap|sa|ca|me|af|il|mx)-/,
    suffix: 'amazonaws.com',
    dualStackSuffix: 'on.aws',
    hasFipsSts: true,
  },
];

const REGISTRY =
  /^(?<registry>[0-9]{12})\.dkr(?<separator>[.-])ecr(?<fips>-fips)?\.(?<region>[a-z]{2,4}(?:-[a-z]+){1,2}-[0-9]{1,2})\.(?<suffix>[a-z0-9.-]+)$/;

export const ecrPatterns: readonly string[] = [...new Set(partitions.flatMap(patternsOf))];

function patternsOf({ suffix, dualStackSuffix }: Partition): string[] {
  const ends = [`.dkr.ecr.*.${suffix}`, `.dkr.ecr-fips.*.${suffix}`];
  if (dualStackSuffix) ends.push(`.dkr-ecr.*.${dualStackSuffix}`, `.dkr-ecr-fips.*.${dualStackSuffix}`);
  return ends.map((end) => `*${end}`);
}

/** The parts `registry` (account id), `region` and `partition`, and the hosts `sts` and `api`. */
export function ecrParts(host: string): HostParts | undefined {
  const { registry, separator, fips, region = '', suffix } = REGISTRY.exec(host)?.groups ?? {};
  const partition = partitions.find(({ regions }) => regions.test(region));
  if (!registry || !partition) return undefined;
  if (suffix !== (separator === '.' ? partition.suffix : partition.dualStackSuffix)) return undefined;
  const hasFipsSts = fips !== undefined && partition.hasFipsSts === true && /^us-/.test(region);
  return {
    registry,
    region,
    partition: partition.name,
    sts: `sts${hasFipsSts ? '-fips' : ''}.${region}.${partition.suffix}`,
    api: `api.ecr${fips ?? ''}.${region}.${partition.suffix}`,
  };
}
