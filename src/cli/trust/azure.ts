// Azure's side: a federated credential of a managed identity (or application), and the role AcrPull.
// https://learn.microsoft.com/entra/workload-id/workload-identity-federation-create-trust-user-assigned-managed-identity
import { hclQuoted, hclVariable, shellJson, shellQuoted, shellVariable } from './quoting.ts';
import { isChosen, nameFor, numbered, type FamilyTrust, type Trust } from './trust.ts';

const NOBODY = '00000000-0000-0000-0000-000000000000';
/** Of each of issuer, subject and audience. */
const LONGEST = 600;

export const acrTrust: FamilyTrust = {
  forms: { terraform, commands },
  fetcher: 'Entra ID',
  choose: {
    'client-id': (whom) => ({
      value: NOBODY,
      told: `the client id of the managed identity ${identityName(whom)}, which is known once it exists`,
    }),
    'tenant-id': () => ({ value: NOBODY, told: 'your tenant: az account show --query tenantId' }),
  },
  notes: ({ parts }) => [
    'an identity holds 20 federated credentials at most: accounts of one team may share an identity, or each gets its own',
    'issuer, subject and audience are compared letter by letter; a new credential takes minutes to be known everywhere',
    `a registry with attribute-based permissions wants the role Container Registry Repository Reader instead of AcrPull`,
    ...(parts['registry']?.includes('-')
      ? [`${parts['registry']} may be a name with a hash behind it: the registry's own name has no "-"`]
      : []),
  ],
  faults: ({ issuer, subject, audience }) =>
    Object.entries({ issuer, subject, audience })
      .filter(([, text]) => text.length > LONGEST)
      .map(([what]) => `the ${what} is longer than the ${LONGEST} characters that Entra ID takes`),
};

function identityName(whom: Pick<Trust, 'namespace' | 'account'>): string {
  return nameFor(whom).replaceAll('.', '-');
}

function terraform(trust: Trust): string {
  const { issuer, audience, subject, parts, principals } = trust;
  const isNew = isChosen(trust, 'client-id');
  const credential = hclQuoted(identityName(trust));
  const identities = principals.map((principal, at) => {
    const kind = isNew ? 'azurerm_user_assigned_identity' : 'data.azurerm_user_assigned_identity';
    const name = `${kind}.pull${numbered(at)}`;
    const identity = isNew
      ? `resource "azurerm_user_assigned_identity" "pull" {
  name                = ${credential}
  resource_group_name = data.azurerm_container_registry.registry.resource_group_name
  location            = data.azurerm_container_registry.registry.location
}
`
      : `${hclVariable(`identity${numbered(at)}`, `name of the managed identity with the client id ${principal['client-id']}`)}${hclVariable(`identity_resource_group${numbered(at)}`, 'its resource group')}# An application instead of a managed identity: use azuread_application_federated_identity_credential.
data "azurerm_user_assigned_identity" "pull${numbered(at)}" {
  name                = var.identity${numbered(at)}
  resource_group_name = var.identity_resource_group${numbered(at)}
  lifecycle {
    postcondition {
      condition     = lower(self.client_id) == ${hclQuoted((principal['client-id'] ?? '').toLowerCase())}
      error_message = "This is another identity than the account's annotation names."
    }
  }
}
`;
    return `
${identity}
resource "azurerm_federated_identity_credential" "pull${numbered(at)}" {
  name                = ${credential}
  resource_group_name = ${name}.resource_group_name
  parent_id           = ${name}.id
  issuer              = ${hclQuoted(issuer)}
  subject             = ${hclQuoted(subject)}
  audience            = [${hclQuoted(audience)}]
}

resource "azurerm_role_assignment" "pull${numbered(at)}" {
  scope                = data.azurerm_container_registry.registry.id
  role_definition_name = "AcrPull"
  principal_id         = ${name}.principal_id
}

output "client_id${numbered(at)}" {
  value = ${name}.client_id
}
`;
  });
  return `# Needs the provider hashicorp/azurerm, 4.x.

${hclVariable('registry_resource_group', 'resource group of the registry')}data "azurerm_container_registry" "registry" {
  name                = ${hclQuoted(registryName(parts))}
  resource_group_name = var.registry_resource_group
}
${identities.join('')}`;
}

/** Names have no "-"; a domain label puts one and a hash behind. */
function registryName(parts: Trust['parts']): string {
  return parts['registry']?.split('-')[0] ?? '';
}

function commands(trust: Trust): string {
  const { issuer, audience, subject, parts, principals } = trust;
  const credential = shellQuoted(identityName(trust));
  const federated = `--name ${credential} \\
    --issuer ${shellQuoted(issuer)} \\
    --subject ${shellQuoted(subject)} \\
    --audiences ${shellQuoted(audience)}`;
  const registry = `REGISTRY=$(az acr show --name ${shellQuoted(registryName(parts))} --query id --output tsv)\n`;
  const grant = `az role assignment create --role AcrPull --scope "$REGISTRY" \\
  --assignee-principal-type ServicePrincipal --assignee-object-id "$PRINCIPAL"
`;
  if (isChosen(trust, 'client-id')) {
    return `${shellVariable('RESOURCE_GROUP', 'resource group for the new identity')}
${registry}
az identity create --name ${credential} --resource-group "$RESOURCE_GROUP" --output none
az identity federated-credential create --identity-name ${credential} --resource-group "$RESOURCE_GROUP" \\
    ${federated}
PRINCIPAL=$(az identity show --name ${credential} --resource-group "$RESOURCE_GROUP" --query principalId --output tsv)
${grant}
# For the annotations of the account:
az identity show --name ${credential} --resource-group "$RESOURCE_GROUP" --query '{"client-id": clientId, "tenant-id": tenantId}'
`;
  }
  const application = shellJson({ name: identityName(trust), issuer, subject, audiences: [audience] });
  const identities = principals.map((principal) => {
    const client = shellQuoted(principal['client-id'] ?? '');
    const query = (what: string) =>
      `$(az identity list --query ${shellQuoted(`[?clientId=='${principal['client-id']}'].${what} | [0]`)} --output tsv)`;
    return `
# A managed identity, or an application.
IDENTITY=${query('name')}
if [ -n "$IDENTITY" ]; then
  az identity federated-credential create --identity-name "$IDENTITY" \\
    --resource-group "${query('resourceGroup')}" \\
    ${federated}
else
  az ad app federated-credential create --id ${client} --parameters ${application}
fi
PRINCIPAL=$(az ad sp show --id ${client} --query id --output tsv)
${grant}`;
  });
  return `${registry}${identities.join('')}`;
}
