output "inventory" {
  description = "A static Ansible inventory: terraform output -json inventory > inventory.json"
  value = {
    all = {
      vars = {
        ansible_user     = var.username
        cluster_endpoint = var.cluster_endpoint
        ingress_address  = var.ingress_address
      }
      children = {
        control_plane = { hosts = { for name, vm in var.control_planes : name => { ansible_host = vm.ipv4 } } }
        workers       = { hosts = { for name, vm in var.workers : name => { ansible_host = vm.ipv4 } } }
      }
    }
  }
}

output "vm_ids" {
  description = "VM id by name."
  value       = module.vms.vm_ids
}

output "nodes" {
  description = "Node by name."
  value       = module.vms.nodes
}

output "survives_loss_of" {
  description = "Nodes without any one of which etcd still has a majority. With two nodes it is one of them at most."
  value       = sort(local.surviving)
}
