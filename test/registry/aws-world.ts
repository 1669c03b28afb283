// What tests of both of Amazon's protocols start with: STS and ECR at one URL, with one role per partition.
import { createAwsDouble, type AwsDouble } from '../fakes/ecr-double.ts';
import { openWorld, type ExchangeWish, type World } from './set-up.ts';

export const ROLE = 'arn:aws:iam::111122223333:role/team-a-pull';
export const HOST = '444455556666.dkr.ecr.eu-west-1.amazonaws.com';
export const PRIVATE: ExchangeWish = { kind: 'ecr', host: HOST, parameters: { 'role-arn': ROLE } };
export const PUBLIC: ExchangeWish = {
  kind: 'ecr-public',
  host: 'public.ecr.aws',
  parameters: { 'role-arn': ROLE },
};

export interface AwsWorld extends AsyncDisposable {
  readonly world: World;
  readonly aws: AwsDouble;
}

export async function openAws(region = 'eu-west-1'): Promise<AwsWorld> {
  const world = await openWorld({ audience: 'sts.amazonaws.com' });
  const { clock, trust } = world;
  const roles = { [ROLE]: {}, [ROLE.replace('aws:', 'aws-us-gov:')]: {} };
  const aws = await world.use(createAwsDouble({ clock, trust, region, roles }));
  return { world, aws, [Symbol.asyncDispose]: () => world[Symbol.asyncDispose]() };
}
