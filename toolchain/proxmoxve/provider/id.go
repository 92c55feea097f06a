package provider

import (
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	shim "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// chosenID is the published name of a Terraform attribute "id" whose value the
// user chooses: Pulumi keeps the name "id" for itself. It is a string everywhere,
// even where Terraform counts (virtual machines).
const chosenID = "resourceId"

// otherChosenIDs has the resources whose id was published under a name of its own.
var otherChosenIDs = map[string]resource.PropertyKey{
	"proxmox_sdn_controller_evpn": "sdnControllerEvpnId",
}

// resourcesWithChosenID describes every resource that takes its id as an input.
func resourcesWithChosenID(provider shim.Provider) map[string]*tfbridge.ResourceInfo {
	infos := map[string]*tfbridge.ResourceInfo{}
	provider.ResourcesMap().Range(func(name string, res shim.Resource) bool {
		if id, ok := res.Schema().GetOk("id"); ok && (id.Required() || id.Optional()) {
			infos[name] = publishID(publishedIDName(name))
		}
		return true
	})

	return infos
}

func publishedIDName(terraformName string) resource.PropertyKey {
	if other, ok := otherChosenIDs[terraformName]; ok {
		return other
	}

	return chosenID
}

// publishID takes the Pulumi id of a resource from the property that carries it.
func publishID(property resource.PropertyKey) *tfbridge.ResourceInfo {
	return &tfbridge.ResourceInfo{
		Fields:    map[string]*tfbridge.SchemaInfo{"id": {Name: string(property), Type: "string"}},
		ComputeID: tfbridge.DelegateIDField(property, Name, upstream),
	}
}
