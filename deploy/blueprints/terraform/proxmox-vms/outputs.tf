output "names" {
  description = "Names of the machines, sorted."
  value       = sort(keys(proxmox_virtual_environment_vm.this))
}

output "vm_ids" {
  description = "VM id by name."
  value       = { for name, vm in proxmox_virtual_environment_vm.this : name => vm.vm_id }
}

output "nodes" {
  description = "Node by name."
  value       = { for name, vm in proxmox_virtual_environment_vm.this : name => vm.node_name }
}

output "ipv4_addresses" {
  description = "Address by name, as configured. What the guest agents report is read through the API, not from here."
  value       = { for name, vm in var.vms : name => vm.ipv4 }
}
