// Registries that take no ServiceAccount token: said when the config is read, with what to do instead.
import { describe, expect, test } from 'vitest';
import { impossibleKinds, whyImpossible } from '../../src/core/impossible-registries.ts';
import { families } from '../../src/registry/families.ts';

describe('a host that no token opens', () => {
  test.for([
    ['docker.io', 'Docker Hub'],
    ['registry-1.docker.io', 'Docker Hub'],
    ['dhi.io', 'Docker Hub'],
    ['ghcr.io', 'ghcr.io'],
    ['docker.pkg.github.com', 'ghcr.io'],
    ['registry.gitlab.com', "GitLab's registry"],
    ['registry.digitalocean.com', "DigitalOcean's registry"],
    ['rg.fr-par.scw.cloud', "Scaleway's registry"],
    ['rg.*.scw.cloud', "Scaleway's registry"],
  ] as const)('%s is told so, and what can be done instead', ([host, name]) => {
    const why = whyImpossible(host) ?? '';

    expect(why.startsWith(name)).toBe(true);
    expect(why).toContain('pull through a cache');
  });

  test.for([
    'registry.team.example',
    'docker.io.team.example',
    'my-docker.io',
    'quay.io',
    'gitlab.team.example',
    'ghcr.io.evil.example',
    'rg.a.b.scw.cloud',
    'docker.io\n',
    '',
  ])('is not taken for another one: %j', (host) => {
    expect(whyImpossible(host)).toBeUndefined();
  });
});

describe('a kind that cannot be', () => {
  test.for(Object.entries(impossibleKinds))(
    '%s is no family, and its sentence says a way out',
    ([kind, why]) => {
      expect(Object.keys(families)).not.toContain(kind);
      expect(why).toMatch(/: (pull through a cache|put a token server in front)/);
      expect(why).not.toMatch(/[.!]$/);
    },
  );
});
