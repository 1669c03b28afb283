// Registries that no ServiceAccount token opens today, why, and what to do instead: said when the config is read, not
// when pods fail. As of November 2026; a registry that learns it leaves this list and gets a family.

const CACHE =
  'pull through a cache in a registry that can (ECR and Artifact Registry have one), or keep a static pull secret here';

const DOCKER_HUB = `Docker Hub takes OIDC tokens of GitHub alone, not of clusters: ${CACHE}`;
const GHCR = `ghcr.io takes personal access tokens and the GITHUB_TOKEN of a workflow only: ${CACHE}`;
const GITLAB = `GitLab's registry takes its own deploy and access tokens only: ${CACHE}`;
const DIGITALOCEAN = `DigitalOcean's registry asks for a stored API token: ${CACHE}`;
const SCALEWAY = `Scaleway's registry asks for a stored IAM secret key: ${CACHE}`;
const HARBOR =
  'upstream Harbor takes robot secrets only: put a token server in front of it, or use pass-through with a build of Harbor that federates workload identity';
const NEXUS = `Nexus signs in browsers only, and gives docker clients static user tokens: ${CACHE}`;

/** By the name that somebody would write as `exchange.kind`. */
export const impossibleKinds: Readonly<Record<string, string>> = {
  'docker-hub': DOCKER_HUB,
  dockerhub: DOCKER_HUB,
  ghcr: GHCR,
  github: GHCR,
  gitlab: GITLAB,
  harbor: HARBOR,
  digitalocean: DIGITALOCEAN,
  scaleway: SCALEWAY,
  nexus: NEXUS,
};

const hosts: readonly (readonly [RegExp, string])[] = [
  [/^(?:docker\.io|registry-1\.docker\.io|dhi\.io)$/, DOCKER_HUB],
  [/^(?:ghcr\.io|docker\.pkg\.github\.com)$/, GHCR],
  [/^registry\.gitlab\.com$/, GITLAB],
  [/^registry\.digitalocean\.com$/, DIGITALOCEAN],
  [/^rg\.[^.]+\.scw\.cloud$/, SCALEWAY],
];

/** Why no rule can serve this host (or pattern of hosts); undefined where one may. */
export function whyImpossible(host: string): string | undefined {
  return hosts.find(([pattern]) => pattern.test(host))?.[1];
}
