// A token service of the administrator's own, as a double, and a rule that exchanges there.
import {
  createTokenExchangeDouble,
  type TokenExchangeDouble,
  type TokenExchangeOptions,
} from '../fakes/token-exchange-double.ts';
import { openWorld, type ExchangeWish, type World } from './set-up.ts';

export const HOST = 'registry.team.example';
export const JWT = 'urn:ietf:params:oauth:token-type:jwt';

export interface Stage extends AsyncDisposable {
  readonly world: World;
  readonly service: TokenExchangeDouble;
  /** At the double, with these parameters, and what else is wished. */
  wish(parameters?: Record<string, string>, change?: Partial<ExchangeWish>): ExchangeWish;
}

export async function openService(options: Partial<TokenExchangeOptions> = {}): Promise<Stage> {
  const world = await openWorld();
  const { clock, trust } = world;
  const service = await world.use(createTokenExchangeDouble({ clock, trust, ...options }));
  return {
    world,
    service,
    wish: (parameters = {}, { exchange, ...change } = {}) => ({
      kind: 'token-exchange',
      host: HOST,
      parameters,
      exchange: { endpoint: service.tokenUrl, ...exchange },
      ...change,
    }),
    [Symbol.asyncDispose]: () => world[Symbol.asyncDispose](),
  };
}
