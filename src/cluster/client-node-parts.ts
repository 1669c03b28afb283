// Stands where client-node's config.js imports the barrel of its API clients: the two things that it takes from there.
import { createConfiguration } from '@kubernetes/client-node/dist/gen/configuration.js';
import { ServerConfiguration } from '@kubernetes/client-node/dist/gen/servers.js';

export { createConfiguration, ServerConfiguration };
