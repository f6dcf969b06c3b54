# The machines of a highly available Kubernetes cluster: what proxmox-vms makes, with what makes it a cluster on top.
# Where a machine lives is written down by you and checked here, never computed: a computed place would move machines,
# and that means making them anew, whenever a node joins.
locals {
  # Tags become groups of the inventory wherever machines are found through the Proxmox API.
  control_planes = { for name, vm in var.control_planes : name => merge(vm, { tags = ["control_plane"], protection = var.protection }) }
  workers        = { for name, vm in var.workers : name => merge(vm, { tags = ["workers"], protection = var.protection }) }

  # What etcd is left with when a node is lost, and what it needs.
  votes     = { for node in var.nodes : node => length([for vm in values(var.control_planes) : vm if vm.node == node]) }
  members   = length(var.control_planes)
  majority  = floor(local.members / 2) + 1
  surviving = [for node, held in local.votes : node if local.members - held >= local.majority]
}

module "vms" {
  source = "../proxmox-vms"

  vms = merge(local.control_planes, local.workers)

  template_id   = var.template_id
  template_node = var.template_node
  datastore     = var.datastore

  gateway     = var.gateway
  ipv4_prefix = var.ipv4_prefix
  dns_servers = var.dns_servers
  bridge      = var.bridge

  ssh_public_keys = var.ssh_public_keys
  username        = var.username
  tags            = distinct(concat([var.name], var.tags))
}
